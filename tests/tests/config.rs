//! Programs that share a configuration move together: a promotion is live in all that run, is put
//! back where its health check fails, and can be rolled back; whatever is killed meanwhile.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use warden_reload::files::{Env, EnvMap, Files, Format as _};
use warden_tests::broker::Broker;
use warden_tests::process::{Process, output};

const SCHEMA: &str = r#"{
    "CHUNK_SIZE": (type: whole, min: 64, max: 4096, shared: true, meaning: "Characters in a chunk"),
    "API_KEY": (type: text, meaning: "For the other side"),
}"#;
const CHECKS: &str = r#"{
    "good": (command: ["true"], window_ms: 5000),
    "bad": (command: ["false"], window_ms: 5000),
    "stuck": (command: ["sleep", "60"], window_ms: 200),
}"#;
const SECRET: &str = "do-not-tell-anybody";
/// How long all programs may take to have what was promoted.
const LIVE_WITHIN: Duration = Duration::from_secs(1);
/// Nothing here takes as long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tells the follower which file is meant.
const FOLLOWED: &str = "WARDEN_TEST_FOLLOWS";

/// The program that follows the file by itself: this very one, started by the tests below.
#[test]
#[ignore = "a program that the other tests start"]
fn follower() -> Result<()> {
    let path = std::env::var_os(FOLLOWED).context("which file")?;
    let file = Files::start().open(PathBuf::from(path), EnvMap::default(), Env.trusted());
    let tell =
        |new: &EnvMap| println!("follows CHUNK_SIZE={}", new.get("CHUNK_SIZE").unwrap_or(""));
    tell(&file.get());
    let _told = file.on_change(move |change| tell(&change.new));
    // Until it is killed.
    loop {
        std::thread::park();
    }
}

/// A program that tells which value it goes by, line by line.
struct Program {
    name: &'static str,
    process: Process,
    lines: Receiver<(Instant, String)>,
    said: String,
}

impl Program {
    fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let out = process.child().stdout.take().context("its output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            name,
            process,
            lines,
            said: String::new(),
        })
    }

    /// Waits until it goes by this value; when it said so.
    fn has(&mut self, value: u64) -> Result<Instant> {
        let wanted = [
            format!("CHUNK_SIZE={value}"),
            format!("\"CHUNK_SIZE\":\"{value}\""),
            format!("\"new\":\"{value}\""),
        ];
        loop {
            let (at, line) = self
                .lines
                .recv_timeout(PATIENCE)
                .with_context(|| format!("{} never had {value}: {}", self.name, self.said))?;
            self.said += &format!("{line}\n");
            if wanted.iter().any(|wanted| line.contains(wanted)) {
                return Ok(at);
            }
        }
    }
}

/// A broker and two programs that follow what it shares.
struct Scene {
    broker: Broker,
    config: PathBuf,
    programs: [Program; 2],
}

impl Scene {
    fn new() -> Result<Self> {
        let broker = Broker::start(1)?;
        let config = broker.data_dir().join("config");
        fs::create_dir_all(&config)?;
        fs::write(config.join("schema.ron"), SCHEMA)?;
        fs::write(config.join("checks.ron"), CHECKS)?;
        let env = config.join("shared.env");
        fs::write(&env, format!("# Sizes\nCHUNK_SIZE=512\nAPI_KEY={SECRET}\n"))?;
        let watch = &mut broker.warden(&["config", "--json", "watch"])?;
        let mut by_file = Command::new(std::env::current_exe()?);
        by_file
            .args(["follower", "--exact", "--ignored", "--nocapture"])
            .env(FOLLOWED, &env);
        let programs = [
            Program::start("warden config watch", watch)?,
            Program::start("the follower", &mut by_file)?,
        ];
        let mut scene = Self {
            broker,
            config,
            programs,
        };
        scene.all_have(512)?;
        Ok(scene)
    }

    /// A command of `warden config` over the same files; what it printed, and whether it went well.
    fn config(&self, arguments: &[&str]) -> Result<(Value, bool)> {
        let mut command = self.broker.warden(&["config", "--json", "--config-dir"])?;
        let output = command.arg(&self.config).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let erred = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !said.contains(SECRET) && !erred.contains(SECRET),
            "{said}{erred}"
        );
        let json =
            serde_json::from_str(&said).with_context(|| format!("{arguments:?}: {said}{erred}"))?;
        Ok((json, output.status.success()))
    }

    fn winner(&self, id: &str, values: Value, check: Option<&str>) -> Result<String> {
        let mut winner = json!({"id": id, "values": values});
        if let Some(check) = check {
            winner["check"] = check.into();
        }
        // Not in `winners/`, which the broker would promote by itself.
        let path = self.config.join(format!("{id}.winner.json"));
        fs::write(&path, winner.to_string())?;
        Ok(path.display().to_string())
    }

    fn ack(&self, id: &str) -> Result<Value> {
        let path = self.config.join(format!("promotions_ack/{id}.json"));
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Waits until every program has this value; when the last of them had it.
    fn all_have(&mut self, value: u64) -> Result<Instant> {
        let mut last = self.broker_has(value)?;
        for program in &mut self.programs {
            last = last.max(program.has(value)?);
        }
        Ok(last)
    }

    fn broker_has(&self, value: u64) -> Result<Instant> {
        let what = "the broker to have the value";
        let value = value.to_string();
        warden_tests::process::until(PATIENCE, what, || {
            let (live, _) = self.config(&["get"])?;
            let has = live["values"]["CHUNK_SIZE"] == value.as_str();
            Ok((has && live["source"] == "broker").then(Instant::now))
        })
    }

    fn generation(&self) -> Result<u64> {
        let (live, _) = self.config(&["get"])?;
        live["generation"].as_u64().context("a generation")
    }

    fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(self.config.join("shared.env"))?)
    }
}

/// Where the history has it, which the command tells beside what is acknowledged.
fn history_of(told: &mut Value) -> Option<Value> {
    told.as_object_mut()?.remove("history")
}

#[test]
fn a_winner_is_live_in_three_programs_within_a_second_and_can_be_rolled_back() -> Result<()> {
    let mut scene = Scene::new()?;
    let before = scene.generation()?;
    let winner = scene.winner("w-1", json!({"CHUNK_SIZE": 1024}), Some("good"))?;
    let began = Instant::now();
    let (mut ack, promoted) = scene.config(&["promote", &winner])?;
    ensure!(promoted, "{ack}");
    let took = scene.all_have(1024)?.duration_since(began);
    ensure!(took <= LIVE_WITHIN, "it took {took:?}; {ack}");
    assert_eq!(history_of(&mut ack), Some(json!(1)));
    assert_eq!(ack, scene.ack("w-1")?);
    assert_eq!(ack["outcome"], "live");
    assert_eq!(ack["generation"], before + 1);
    assert_eq!(ack["changed"], json!(["CHUNK_SIZE"]));
    ensure!(ack["live_after_ms"].as_u64() <= Some(1_000), "{ack}");
    assert_eq!(
        scene.text()?,
        format!("# Sizes\nCHUNK_SIZE=1024\nAPI_KEY={SECRET}\n")
    );

    let (ack, rolled_back) = scene.config(&["rollback", "0"])?;
    ensure!(rolled_back, "{ack}");
    scene.all_have(512)?;
    assert_eq!(scene.generation()?, before + 2);
    assert_eq!(
        scene.text()?,
        format!("# Sizes\nCHUNK_SIZE=512\nAPI_KEY={SECRET}\n")
    );
    Ok(())
}

#[test]
fn a_check_that_fails_puts_everything_back() -> Result<()> {
    let mut scene = Scene::new()?;
    for (number, check) in (1..).zip(["bad", "stuck"]) {
        let before = (scene.text()?, scene.generation()?);
        let id = format!("w-{check}");
        let size = 1024 + number;
        let winner = scene.winner(
            &id,
            json!({"CHUNK_SIZE": size, "API_KEY": "other"}),
            Some(check),
        )?;
        let (ack, promoted) = scene.config(&["promote", &winner])?;
        ensure!(!promoted, "{ack}");
        assert_eq!(ack["outcome"], "put_back");
        ensure!(
            ack["error"]
                .as_str()
                .is_some_and(|error| error.contains(check)),
            "{ack}"
        );
        // It was live for all, and then what was before was, in this order.
        for program in &mut scene.programs {
            program.has(size)?;
        }
        scene.all_have(512)?;
        assert_eq!(
            (scene.text()?, scene.generation()?),
            (before.0, before.1 + 2)
        );
    }
    Ok(())
}

#[test]
fn what_is_refused_changes_nothing_for_anybody() -> Result<()> {
    let scene = Scene::new()?;
    let before = (scene.text()?, scene.generation()?);
    let refused = [
        ("w-range", json!({"CHUNK_SIZE": 1})),
        ("w-key", json!({"CHUNK_SIZES": 512})),
        ("w-kind", json!({"CHUNK_SIZE": "many"})),
        ("w-both", json!({"CHUNK_SIZE": 1024, "PATH": "/"})),
    ];
    for (id, values) in refused {
        let winner = scene.winner(id, values, None)?;
        let (mut ack, promoted) = scene.config(&["promote", &winner])?;
        ensure!(!promoted, "{ack}");
        assert_eq!(ack["outcome"], "refused", "{ack}");
        assert_eq!(history_of(&mut ack), Some(Value::Null));
        assert_eq!(ack, scene.ack(id)?);
    }
    assert_eq!((scene.text()?, scene.generation()?), before);
    Ok(())
}

#[test]
fn a_killed_broker_comes_back_with_what_changed_meanwhile() -> Result<()> {
    let mut scene = Scene::new()?;
    let before = scene.generation()?;
    scene.broker.kill();
    // Without a broker a promotion is live for whoever reads the file.
    let mut set = scene.broker.warden(&["config", "--json", "--config-dir"])?;
    output(set.arg(&scene.config).args(["set", "CHUNK_SIZE=2048"]))?;
    scene.programs[1].has(2048)?;
    scene.broker.restart()?;
    scene.broker_has(2048)?;
    scene.programs[0].has(2048)?;
    assert_eq!(scene.generation()?, before + 1);
    ensure!(
        scene.programs[0].process.is_running(),
        "who watches outlives the broker"
    );
    Ok(())
}

#[test]
fn a_saved_policy_holds_at_once_and_ends_no_lease() -> Result<()> {
    let broker = Broker::start(1)?;
    let mut holder = broker.run(&[], &["sleep", "60"])?;
    broker.wait_for("a lease", |status| leases(status) == 1)?;
    let _waiter = broker.run(&[], &["true"])?;
    broker.wait_for("a waiter", |status| status["queue_depth"] == 1)?;
    let config = broker.data_dir().join("config");
    fs::create_dir_all(&config)?;
    save(
        &config.join("policy.ron"),
        "(max_queue: 1, max_ttl_ms: 1000, default_ttl_ms: 1000)",
    )?;
    let status = broker.wait_for("the policy", |status| status["policy"]["max_queue"] == 1)?;
    assert_eq!((leases(&status), &status["queue_depth"]), (1, &json!(1)));
    let mut refused = broker.run(&[], &["true"])?;
    ensure!(!refused.wait(PATIENCE)?.success(), "the queue is full");
    ensure!(holder.is_running(), "a lease is not ended by other rules");
    Ok(())
}

fn leases(status: &Value) -> usize {
    status["leases"].as_array().map_or(0, Vec::len)
}

/// Saves a file as most programs do: beside it, then in its place.
fn save(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    Ok(fs::rename(&beside, path)?)
}
