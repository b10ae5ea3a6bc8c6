//! Stamps a hot library, and its host, with what both must agree on.
//!
//! A macro and not a function, because the stamp has to be made where each side is compiled: a
//! function in the shared library would answer for the host both times. It reads what only the
//! running compiler knows, the file of the shared library that this very crate is linked against.
//!
//! The stamp is text, one fact a line, `key value`:
//!
//! ```text
//! warden-manifest 2
//! rustc rustc 1.95.0 (59807616e 2026-04-14)
//! target x86_64-unknown-linux-gnu
//! profile debug-assertions=on panic=unwind
//! warden_toolkit gnu-build-id:5b34b03d…
//! ```

mod identity;
mod target;

use std::env;
use std::path::PathBuf;

use proc_macro::{Literal, TokenStream, TokenTree};

/// The format's name and version, the first line of every stamp. The version also stands for the
/// layout of what crosses by `warden-hot`: raise it when that changes.
const HEADER: &str = "warden-manifest 2";

/// The stamp of the crate that this stands in, as a `&'static str`, for the host.
///
/// `stamp!(shares: warden_toolkit)`: `shares` names the library that host and hot code both link;
/// leave it out where there is none.
#[proc_macro]
pub fn stamp(input: TokenStream) -> TokenStream {
    match Fields::parse(input) {
        Ok(fields) => TokenTree::Literal(Literal::string(&text(fields.shares.as_deref()))).into(),
        Err(message) => error(message),
    }
}

/// Exports the stamp and the schema of a hot library, as `NAME_manifest` and `NAME_schema`.
///
/// `manifest! { module: "ui_hot", shares: warden_toolkit, schema: warden_view::SCHEMA }`. Both are
/// plain bytes without a pointer in them, so that a host reads them out of the file and never maps
/// a library that does not fit.
///
/// The schema is Rust source, `include_str!`: what in it defines a type is compared, comments and
/// functions are not. With `memory: TYPE` the module has memory of its own: the type becomes a
/// `warden_hot::ModuleMemory`, and its table is exported as `NAME_memory`.
#[proc_macro]
pub fn manifest(input: TokenStream) -> TokenStream {
    let fields = match Fields::parse(input) {
        Ok(fields) => fields,
        Err(message) => return error(message),
    };
    let (Some(module), Some(schema)) = (fields.module, fields.schema) else {
        return error("manifest! needs `module: \"NAME\"` and `schema: A_CONST_STR`");
    };
    let stamp = format!("{}module {module}\n", text(fields.shares.as_deref()));
    let memory = fields.memory.map(|memory| {
        format!(
            "/// The functions of this module's memory.\n\
             #[unsafe(no_mangle)] #[allow(non_upper_case_globals)]\n\
             pub static {module}_memory: ::warden_hot::MemoryTable = ::warden_hot::MemoryTable::of::<{memory}>();\n\
             impl ::warden_hot::ModuleMemory for {memory} {{\n\
                 fn table() -> &'static ::warden_hot::MemoryTable {{ &{module}_memory }}\n\
             }}\n"
        )
    });
    let code = format!(
        "/// What this library was built with.\n\
         #[unsafe(no_mangle)] #[allow(non_upper_case_globals)]\n\
         pub static {module}_manifest: [u8; {len}] = *b{stamp:?};\n\
         /// The source of every type that crosses.\n\
         #[unsafe(no_mangle)] #[allow(non_upper_case_globals)]\n\
         pub static {module}_schema: [u8; {{ let s: &str = {schema}; s.len() }}] = {{\n\
             let s: &str = {schema};\n\
             match s.as_bytes().first_chunk() {{ Some(bytes) => *bytes, None => panic!() }}\n\
         }};\n{memory}",
        len = stamp.len(),
        memory = memory.unwrap_or_default(),
    );
    code.parse()
        .unwrap_or_else(|_| error("manifest! was given a schema that is no expression"))
}

/// Makes a function a delegation target: exports it under its own name, and keeps its panics inside
/// the library.
///
/// What is exported returns `Result<R, warden_hot::Panicked>` where the function is written to
/// return `R`, and takes an opaque `&mut warden_hot::Memory` where a parameter is marked
/// `#[memory]`; everything else is as written. It is called the same way where the module is linked
/// in. The crate must know `warden-hot` by that name. Not for generic, async or unsafe functions;
/// two modules of one program must not share a name.
///
/// ```text
/// #[warden_hot::delegation_target]
/// pub fn counter_click(by: u32, #[memory] memory: &mut Remembered) -> u32 { … }
/// ```
#[proc_macro_attribute]
pub fn delegation_target(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("delegation_target takes no arguments");
    }
    target::expand(item).unwrap_or_else(error)
}

/// The facts, one a line.
fn text(shares: Option<&str>) -> String {
    let arguments: Vec<String> = env::args().collect();
    let target = option(&arguments, "--target").unwrap_or_else(|| env!("WARDEN_HOST").to_owned());
    let mut text = format!(
        "{HEADER}\nrustc {}\ntarget {target}\nprofile {}\n",
        env!("WARDEN_RUSTC"),
        profile(&arguments),
    );
    if let Some(name) = shares {
        let identity = shared_file(&arguments, name)
            .and_then(|path| identity::of(&path).ok())
            .unwrap_or_else(|| "static".to_owned());
        text.push_str(&format!("{name} {identity}\n"));
    }
    text
}

/// What of the profile changes the layout or the meaning of code that crosses: not the level of
/// optimisation, which packages of one build may differ in.
fn profile(arguments: &[String]) -> String {
    let codegen = |name: &str| {
        arguments.windows(2).rev().find_map(|pair| {
            let value = match pair[0].as_str() {
                "-C" | "--codegen" => pair[1].as_str(),
                _ => pair[1].strip_prefix("-C")?,
            };
            value
                .strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        })
    };
    let optimised = codegen("opt-level").is_some_and(|level| level != "0");
    let assertions = codegen("debug-assertions").map_or(!optimised, |value| {
        matches!(value.as_str(), "y" | "yes" | "on" | "true")
    });
    let panic = codegen("panic").unwrap_or_else(|| "unwind".to_owned());
    format!(
        "debug-assertions={} panic={panic}",
        if assertions { "on" } else { "off" }
    )
}

/// The value of `NAME VALUE` or `NAME=VALUE`.
fn option(arguments: &[String], name: &str) -> Option<String> {
    let inline = || {
        arguments.iter().find_map(|argument| {
            argument
                .strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        })
    };
    arguments
        .windows(2)
        .find(|pair| pair[0] == name)
        .map(|pair| pair[1].clone())
        .or_else(inline)
}

/// The file that the compiler was told to take for the shared library, if it is a dynamic one.
fn shared_file(arguments: &[String], name: &str) -> Option<PathBuf> {
    arguments
        .windows(2)
        .filter(|pair| pair[0] == "--extern")
        .filter_map(|pair| pair[1].split_once('='))
        .filter(|(given, _)| given.rsplit(':').next() == Some(name))
        .map(|(_, path)| PathBuf::from(path))
        .find(|path| {
            path.extension()
                .is_some_and(|end| end == env::consts::DLL_EXTENSION)
        })
}

/// What stands between the macro's parentheses.
#[derive(Default)]
struct Fields {
    module: Option<String>,
    shares: Option<String>,
    schema: Option<String>,
    memory: Option<String>,
}

impl Fields {
    fn parse(input: TokenStream) -> Result<Self, &'static str> {
        let mut fields = Self::default();
        let tokens: Vec<TokenTree> = input.into_iter().collect();
        for field in tokens
            .split(|token| is_punct(token, ','))
            .filter(|field| !field.is_empty())
        {
            let [TokenTree::Ident(key), colon, value @ ..] = field else {
                return Err("a field is written `key: value`");
            };
            if !is_punct(colon, ':') || value.is_empty() {
                return Err("a field is written `key: value`");
            }
            let value = value.iter().cloned().collect::<TokenStream>().to_string();
            match key.to_string().as_str() {
                "module" => fields.module = Some(value.trim_matches('"').to_owned()),
                "shares" => fields.shares = Some(value),
                "schema" => fields.schema = Some(value),
                "memory" => fields.memory = Some(value),
                _ => return Err("the fields are `module`, `shares`, `schema` and `memory`"),
            }
        }
        Ok(fields)
    }
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn error(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});")
        .parse()
        .unwrap_or_default()
}
