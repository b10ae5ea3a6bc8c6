//! Makes a function a delegation target.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

use crate::is_punct;

/// What a function is made of.
struct Function {
    /// Its documentation, which goes to the export.
    docs: TokenStream,
    /// Every other attribute, which goes to the function itself.
    attributes: TokenStream,
    visibility: TokenStream,
    name: TokenTree,
    parameters: Vec<Parameter>,
    /// Without the arrow; empty where it returns nothing.
    output: TokenStream,
    body: Group,
}

struct Parameter {
    /// Marked `#[memory]`.
    is_memory: bool,
    name: TokenTree,
    kind: TokenStream,
}

pub fn expand(item: TokenStream) -> Result<TokenStream, &'static str> {
    let function = Function::parse(item)?;
    let Function {
        docs,
        attributes,
        visibility,
        name,
        parameters,
        output,
        body,
    } = &function;
    let (mut outer, mut inner, mut own, mut passed) = Default::default();
    for Parameter {
        is_memory,
        name,
        kind,
    } in parameters
    {
        add(&mut inner, &format!("{name}: {kind}, "));
        add(&mut passed, &format!("{name}, "));
        if *is_memory {
            add(&mut outer, &format!("{name}: &mut ::warden_hot::Memory, "));
            add(&mut own, &format!("let {name} = {name}.own(); "));
        } else {
            add(&mut outer, &format!("{name}: {kind}, "));
        }
    }
    let output = if output.is_empty() {
        "()".to_owned()
    } else {
        output.to_string()
    };
    let head = format!(
        "#[unsafe(no_mangle)] \
         #[allow(clippy::missing_errors_doc, clippy::too_many_arguments, improper_ctypes_definitions)] \
         {visibility} fn {name}({outer}) -> ::core::result::Result<{output}, ::warden_hot::Panicked>"
    );
    let mut expanded = docs.clone();
    expanded.extend(parse(&head)?);
    // The body is passed on as it came, so that the compiler and a panic name its own lines.
    let mut inside = attributes.clone();
    inside.extend(parse(&format!("fn {name}({inner}) -> {output}"))?);
    inside.extend([TokenTree::Group(body.clone())]);
    inside.extend(parse(&format!(
        "::warden_hot::guard(move || {{ {own} {name}({passed}) }})"
    ))?);
    expanded.extend([TokenTree::Group(Group::new(Delimiter::Brace, inside))]);
    Ok(expanded)
}

fn add(text: &mut String, more: &str) {
    text.push_str(more);
}

fn parse(code: &str) -> Result<TokenStream, &'static str> {
    code.parse()
        .map_err(|_| "a delegation target's parameters are written `name: Type`")
}

impl Function {
    fn parse(item: TokenStream) -> Result<Self, &'static str> {
        const FUNCTION: &str = "only a function can be a delegation target";
        let tokens: Vec<TokenTree> = item.into_iter().collect();
        let (docs, attributes, rest) = attributes(&tokens);
        let at = rest
            .iter()
            .position(|token| is_word(token, "fn"))
            .ok_or(FUNCTION)?;
        let visibility = &rest[..at];
        if visibility.iter().any(|token| {
            ["async", "extern", "unsafe"]
                .iter()
                .any(|w| is_word(token, w))
        }) {
            return Err("a delegation target is a plain `fn`: not async, extern or unsafe");
        }
        let [
            name,
            TokenTree::Group(parameters),
            output @ ..,
            TokenTree::Group(body),
        ] = &rest[at + 1..]
        else {
            return Err("a delegation target has no generic parameters, and a body");
        };
        if parameters.delimiter() != Delimiter::Parenthesis {
            return Err("a delegation target has no generic parameters");
        }
        let output = match output {
            [] => &[][..],
            [dash, arrow, output @ ..] if is_punct(dash, '-') && is_punct(arrow, '>') => output,
            _ => return Err("a delegation target has no `where`"),
        };
        Ok(Self {
            docs,
            attributes,
            visibility: visibility.iter().cloned().collect(),
            name: name.clone(),
            parameters: parameters_of(parameters.stream())?,
            output: output.iter().cloned().collect(),
            body: body.clone(),
        })
    }
}

/// Divides leading attributes into documentation and others.
fn attributes(mut tokens: &[TokenTree]) -> (TokenStream, TokenStream, &[TokenTree]) {
    let (mut docs, mut others) = (TokenStream::new(), TokenStream::new());
    while let [mark, TokenTree::Group(attribute), rest @ ..] = tokens {
        if !is_punct(mark, '#') {
            break;
        }
        let first = attribute.stream().into_iter().next();
        let is_doc = first.is_some_and(|token| is_word(&token, "doc"));
        let to = if is_doc { &mut docs } else { &mut others };
        to.extend([mark.clone(), TokenTree::Group(attribute.clone())]);
        tokens = rest;
    }
    (docs, others, tokens)
}

fn parameters_of(stream: TokenStream) -> Result<Vec<Parameter>, &'static str> {
    const WRITTEN: &str = "a delegation target's parameters are written `name: Type`";
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut parameters = Vec::new();
    for parameter in split(&tokens) {
        let (_, marks, rest) = attributes(parameter);
        let is_memory = match marks.into_iter().collect::<Vec<_>>().as_slice() {
            [] => false,
            [_, TokenTree::Group(mark)] if mark.stream().to_string() == "memory" => true,
            _ => return Err("the only attribute of a parameter is `#[memory]`"),
        };
        let [name @ TokenTree::Ident(_), colon, kind @ ..] = rest else {
            return Err(WRITTEN);
        };
        if !is_punct(colon, ':') || is_word(name, "self") {
            return Err(WRITTEN);
        }
        if is_memory
            && !matches!(kind, [and, word, ..] if is_punct(and, '&') && is_word(word, "mut"))
        {
            return Err("the module's memory is passed as `&mut Type`");
        }
        parameters.push(Parameter {
            is_memory,
            name: name.clone(),
            kind: kind.iter().cloned().collect(),
        });
    }
    Ok(parameters)
}

/// Splits at commas that stand in no angle brackets.
fn split(tokens: &[TokenTree]) -> Vec<&[TokenTree]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        let arrow = at > 0 && is_punct(&tokens[at - 1], '-');
        if is_punct(token, '<') {
            depth += 1;
        } else if is_punct(token, '>') && !arrow {
            depth = depth.saturating_sub(1);
        } else if is_punct(token, ',') && depth == 0 {
            parts.push(&tokens[start..at]);
            start = at + 1;
        }
    }
    parts.push(&tokens[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}
