//! `warden hot-reload`: what the broker takes anew while it runs, its own program included.

use warden::wire::reload::{
    HotReload, ReloadBody, ReloadKind, ReloadModule, ReloadOutcome, ReloadResult, ReloadState,
    Reloaded,
};
use warden_client::Client;

use crate::args::HotReloadArgs;
use crate::exit::Exit;
use crate::status::print;
use crate::table::{Align, Table};

/// So much of a hash tells two programs apart.
const HASH_SHOWN: usize = 12;

/// Reloads, shows or switches.
pub async fn hot_reload(client: Client, args: HotReloadArgs) -> anyhow::Result<Exit> {
    if args.enable || args.disable {
        let standing = client.enable_reload(args.enable).await?;
        return show(&standing, args.json);
    }
    if args.list {
        return show(&client.hot_reload().await?, args.json);
    }
    let is_all = args.module.is_none() && !args.back && !args.one_way;
    let body = ReloadBody {
        module: args.module,
        back: args.back,
        one_way: args.one_way,
    };
    let Reloaded { results } = client.reload(&body).await?;
    if args.json {
        return whole(serde_json::to_string_pretty(&Reloaded { results })?);
    }
    let mut text: String = results.iter().map(line).collect();
    // Nobody is to believe that new code runs where it was not even looked at.
    if is_all && !client.hot_reload().await?.enabled {
        text.push_str("program: left alone; `warden hot-reload --enable` lets new code in\n");
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn show(standing: &HotReload, as_json: bool) -> anyhow::Result<Exit> {
    if as_json {
        return whole(serde_json::to_string_pretty(standing)?);
    }
    print(&page(standing))?;
    Ok(Exit::Success)
}

fn whole(json: String) -> anyhow::Result<Exit> {
    print(&(json + "\n"))?;
    Ok(Exit::Success)
}

fn line(result: &ReloadResult) -> String {
    let outcome = match result.outcome {
        ReloadOutcome::Reloaded => "reloaded",
        ReloadOutcome::Unchanged => "unchanged",
    };
    format!(
        "{}: {outcome}, generation {}\n",
        result.name, result.generation
    )
}

fn page(standing: &HotReload) -> String {
    let switch = match standing.enabled {
        true => "new program code is let in; `warden hot-reload --disable` ends that",
        false => "no new program code is let in; `warden hot-reload --enable` changes that",
    };
    let mut table = Table::new(&[
        ("MODULE", Align::Left),
        ("STATE", Align::Left),
        ("GENERATION", Align::Right),
        ("SHA-256", Align::Left),
        ("SINCE", Align::Left),
    ]);
    for module in &standing.modules {
        table.row([
            module.name.clone(),
            state(module).to_owned(),
            module.generation.to_string(),
            module.sha256.as_deref().map_or("-", short).to_owned(),
            module.since.clone(),
        ]);
    }
    let notes: String = standing.modules.iter().map(notes).collect();
    format!("{switch}\n{table}{notes}")
}

fn state(module: &ReloadModule) -> &'static str {
    match module.state {
        ReloadState::Live => "live",
        ReloadState::Refused => "refused",
        ReloadState::Disabled if module.kind == ReloadKind::Program => "off",
        ReloadState::Disabled => "disabled",
    }
}

fn notes(module: &ReloadModule) -> String {
    let mut text = String::new();
    if let Some(error) = &module.last_error {
        text.push_str(&format!("{}: {error}\n", module.name));
    }
    let Some(program) = &module.program else {
        return text;
    };
    let (version, path) = (&program.version, &program.path);
    text.push_str(&format!("program: version {version} from {path}\n"));
    if let Some(newer) = &program.newer_sha256 {
        text.push_str(&format!(
            "program: another one lies there: {}\n",
            short(newer)
        ));
    }
    if let Some(before) = &program.before {
        let (version, sha256) = (&before.version, short(&before.sha256));
        text.push_str(&format!(
            "program: `--back` returns to version {version}, {sha256}\n"
        ));
    }
    text
}

fn short(sha256: &str) -> &str {
    sha256.get(..HASH_SHOWN).unwrap_or(sha256)
}
