//! The page: what the types say, and the words between that no type has.

use warden::Policy;
use warden_reload::keys::{Key, Kind, keys_of};
use warden_reload::promotion::{Ack, Check, Rule, Winner};

use crate::settings::Settings;

/// Keys of one file.
pub struct Section {
    title: &'static str,
    /// What stands above the keys.
    text: &'static str,
    pub keys: Vec<Key>,
    /// What stands below.
    example: &'static str,
}

const HEAD: &str = "\
# Configuration

<!-- Written by `cargo xtask docs` from the types that read these files; a test holds it to them. -->

One folder, the same for the window, the broker and `warden config`: the platform's place for
configuration (on Linux `~/.config/warden`), or `--config-dir DIR`. Every file is optional and goes
live when it is saved. A file that is broken, half-written or not to be trusted changes nothing: the
last good one stays live, and what is wrong with it is said with line and column: in the log, in the
window, in `warden status` and in `warden config get`.

A deleted file means what an absent one does: once it has been gone for half a second, its defaults are
live, as they would be at the next start. Without `schema.ron` no key is shared and none can be set,
without `shared.env` none has a value. A theme that is in use stays until another one is chosen.

Save by writing a new file and renaming it over the old one, as editors do: that is believed at once.
A file that is written in place is believed when its writer closes it.

| file | what | read by |
|---|---|---|
| [`settings.ron`](#settingsron) | how the window looks | the window |
| [`themes/NAME.ron`](#themes) | designs, over those that ship | the window |
| [`policy.ron`](#policyron) | the rules of the queue | the broker |
| [`shared.env`](#sharedenv) | values for programs | the broker, and any program |
| [`schema.ron`](#schemaron) | which of those values there may be | the broker, `warden config` |
| [`checks.ron`](#checksron) | health commands | the broker, `warden config` |
| [`winners/*.json`](#winnersjson) | values to be promoted | the broker |
| [`promotions_ack/ID.json`](#promotions_ackidjson) | what came of each | whoever wrote the winner |
| `history/N.ron` | every promotion, with values; mode 0700 | `warden config` |

`policy.ron`, `shared.env`, `schema.ron` and `checks.ron` are refused where anybody else could have
written them: where the file or its folder belongs to another user than the reader or root, or others
may write to it.

In a table of keys, *default* is what holds where the file does not say, as the file would have it,
and `*` stands for any name.
";

const THEMES: &str = "\
## `themes/`

A theme is a whole design: colours, fonts, sizes, spacing, shapes. Its keys are those of the themes
that ship, in [`themes/`](../themes): copy one, and change it while the window shows it. All keys are
needed. A theme of the name of one that ships takes its place.

## `shared.env`

Lines of `KEY=value`, as the dotenv family reads them; `warden serve --env FILE` names another file.
Nothing is put into the environment of any process, and nothing is read from it.

- `# a comment` on its own line, or after a value and a blank; `export` before a key is allowed.
- `KEY=plain` to the end of the line; `KEY='as it is'`; `KEY=\"with \\n \\t \\\" \\\\ \\$\"`. Both kinds of
  quotes may go over several lines.
- `$NAME` and `${NAME:-otherwise}`, but in single quotes, stand for a key further up in the same file.
- Of a key that is there twice the last counts.

The keys that [`schema.ron`](#schemaron) marks `shared` are served at `GET /v1/config` and its stream
of changes; `warden config get` and `warden config watch` show them. Every other value stays in this
file and in `history/`, and is shown by `warden config` with `--show` alone. `warden config set` and
promotions change values and leave comments and the order of lines as they are.
";

const PROMOTION: &str = "\
## Promotion

`warden config set KEY=VALUE…`, `warden config promote WINNER.json` and a winner that is put into
`winners/` while a broker runs go the same way: checked against `schema.ron`, noted in `history/`,
written as a whole, live, acknowledged. Where a check is named and fails, the old values are put back;
keys that somebody has changed meanwhile are left alone. One promotion runs at a time. Where the
machine or the process dies in between, the next promotion or the next start of the broker concludes
what was begun: the file is the old one or the new one, whole, and the acknowledgement says which.

`warden config history` lists the last 1,000; `diff N` shows which keys the N-th changed, and
`diff N M` what has changed from N to M; `rollback N` makes every key that was promoted since what it
was after N, and says which of them somebody has edited by hand since. What has been promoted is printed
with its N and with the rollback that undoes it.
";

/// All of it.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let [settings, policy, schema, checks, winner, ack] = sections();
    for section in [settings, policy] {
        write(&mut page, section);
    }
    page.push('\n');
    page.push_str(THEMES);
    for section in [schema, checks] {
        write(&mut page, section);
    }
    page.push('\n');
    page.push_str(PROMOTION);
    for section in [winner, ack] {
        write(&mut page, section);
    }
    page
}

/// Every file that a type describes.
pub fn sections() -> [Section; 6] {
    [
        Section {
            title: "`settings.ron`",
            text: "How this person wants the window to be. The window's panel of settings writes it, \
                   each key under a comment; what people wrote as comments is lost then.",
            keys: keys_of::<Settings>(),
            example: "```ron\n(\n    theme: \"light\",\n    zoom: 1.25,\n)\n```",
        },
        Section {
            title: "`policy.ron`",
            text: "The rules that the arbiter goes by. A lowered limit never ends a granted lease, nor \
                   a request that waits already.",
            keys: keys_of::<Policy>(),
            example: "```ron\n(\n    max_bypass: 4,\n    yield: (mode: take, grace_ms: 5000),\n)\n```",
        },
        Section {
            title: "`schema.ron`",
            text: "For each key of `shared.env` what may stand there, by its name. A key that is not \
                   in here can neither be promoted nor shared. Of each key:",
            keys: keys_of::<Rule>(),
            example: "```ron\n{\n    \"RAG_CHUNK_SIZE\": (type: whole, min: 64, max: 4096, shared: true,\n        \
                      meaning: \"How much text is embedded at once.\", unit: \"tokens\"),\n    \
                      \"ANSWERS\": (choices: [\"fast\", \"good\"], shared: true),\n    \
                      \"API_KEY\": (),\n}\n```",
        },
        Section {
            title: "`checks.ron`",
            text: "Commands that tell whether all is well with new values, by name. Nothing else is ever \
                   run: no winner and no request can name a program. Of each check:",
            keys: keys_of::<Check>(),
            example: "```ron\n{\n    \"answers\": (command: [\"curl\", \"-fsS\", \"http://127.0.0.1:9000/health\"], \
                      window_ms: 5000),\n}\n```",
        },
        Section {
            title: "`winners/*.json`",
            text: "What somebody wants promoted. Any name that ends with `.json`.",
            keys: without_defaults(keys_of::<Winner>()),
            example: "```json\n{\"id\": \"run-17\", \"values\": {\"RAG_CHUNK_SIZE\": 768}, \"check\": \"answers\"}\n```",
        },
        Section {
            title: "`promotions_ack/ID.json`",
            text: "What came of it. Holds keys, and never a value. A winner without an id that can be \
                   read is acknowledged by the name of its file.",
            keys: without_defaults(keys_of::<Ack>()),
            example: "```json\n{\"id\": \"run-17\", \"outcome\": \"live\", \"generation\": 12, \
                      \"at\": \"2026-01-31T12:00:00.125Z\",\n \"live_after_ms\": 9, \
                      \"changed\": [\"RAG_CHUNK_SIZE\"], \"error\": null}\n```",
        },
    ]
}

/// Of what is no file of settings: nothing holds where it does not say.
fn without_defaults(mut keys: Vec<Key>) -> Vec<Key> {
    for key in &mut keys {
        key.default = None;
    }
    keys
}

fn write(page: &mut String, section: Section) {
    let Section {
        title,
        text,
        keys,
        example,
    } = section;
    page.push_str(&format!("\n## {title}\n\n{text}\n\n"));
    page.push_str("| key | meaning | kind | unit | default | range |\n|---|---|---|---|---|---|\n");
    for key in keys {
        page.push_str(&row(key));
    }
    page.push_str(&format!("\n{example}\n"));
}

/// What may be left out has no default to show.
fn row(key: Key) -> String {
    let range = key.allowed().unwrap_or_default();
    let mut meaning = key.meaning.replace('\n', " ");
    if let Kind::Choice(choices) = &key.kind {
        for choice in choices {
            meaning.push_str(&format!("<br>`{}`: {}", choice.word, choice.meaning));
        }
    }
    let code = |text: Option<String>| match text.as_deref() {
        None | Some("") => String::new(),
        Some(text) => format!("`{text}`"),
    };
    let cells = [
        format!("`{}`", key.name),
        meaning,
        key.kind.to_string(),
        key.unit.unwrap_or_default(),
        code(key.default.filter(|default| default != "None")),
        range,
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}
