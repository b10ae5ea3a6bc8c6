//! The rules of the contract, one by one. Each scenario runs in a [`World`], so that every fact
//! of it is held against the laws as well.

mod connections;
mod doors;
mod draining;
mod ends;
mod order;
mod pauses;
mod restarts;
mod words;
mod yields;

use warden::wire::{LockBody, Outcome, PriorityName};
use warden::{
    Caller, Code, Command, Connection, Door, LeaseId, Origin, Policy, Refusal, Reply, Request,
    RequestId,
};

use crate::world::{Coverage, World, caller, gpu};

const VRAM_MIB: u64 = 24_576;

/// A scene with so many GPUs of 24 GiB.
fn scene(gpus: u32, play: impl FnOnce(&mut World)) {
    scene_under(gpus, Policy::default(), play);
}

fn scene_under(gpus: u32, policy: Policy, play: impl FnOnce(&mut World)) {
    let mut coverage = Coverage::default();
    let gpus = (0..gpus).map(|index| gpu(index, Some(VRAM_MIB))).collect();
    let mut world = World::new(gpus, policy, &mut coverage);
    play(&mut world);
    world.check_picture();
    world.check_replay();
}

/// A body with a request id of the client's.
fn body(id: &str) -> LockBody {
    LockBody {
        client: format!("client of {id}"),
        request_id: Some(RequestId::from(id)),
        timeout_ms: Some(3_600_000),
        ttl_ms: Some(3_600_000),
        ..LockBody::default()
    }
}

fn urgent(id: &str) -> LockBody {
    LockBody {
        priority: Some(PriorityName::Name("mic".to_owned())),
        ..body(id)
    }
}

fn shared(id: &str, vram_mib: u64) -> LockBody {
    LockBody {
        vram_mib: Some(vram_mib),
        ..body(id)
    }
}

fn load(id: &str) -> LockBody {
    LockBody {
        operation: Some("model_load".to_owned()),
        ..body(id)
    }
}

fn poll(id: &str) -> LockBody {
    LockBody {
        wait: Some(false),
        ..body(id)
    }
}

fn somebody() -> Caller {
    Caller {
        door: Door::new("token:somebody"),
        operator: false,
    }
}

impl World<'_> {
    /// Posts and says on which connection.
    fn posts(&mut self, body: &LockBody) -> Connection {
        let connection = self.connection();
        match self.post_on(body, connection) {
            Ok(Reply::Waiting { .. }) => connection,
            other => panic!("{body:?} is answered with {other:?}"),
        }
    }

    /// Posts what the rules refuse, as one who may have posted it before.
    fn comes_back(&mut self, body: &LockBody) -> Result<Reply, Refusal> {
        let caller = caller();
        let origin = Origin {
            door: caller.door.clone(),
            host: "here".into(),
        };
        let policy = self.arbiter.policy();
        let refusal = Request::parse(body, &origin, policy, &self.gpus).expect_err("refused");
        let request = Request::parse_under_any(body, &origin, policy, &self.gpus)?;
        let connection = self.connection();
        self.run(&Command::Rejoin {
            request: request.into(),
            caller,
            connection,
            refusal: Box::new(refusal.into()),
        })
    }

    fn holders(&self) -> Vec<String> {
        let leases = self.arbiter.leases();
        leases.map(|lease| lease.request_id.to_string()).collect()
    }

    fn queue(&self) -> Vec<String> {
        self.arbiter
            .waiters()
            .map(|waiter| waiter.id.to_string())
            .collect()
    }

    fn passed(&self, id: &str) -> u32 {
        self.arbiter
            .waiter(&RequestId::from(id))
            .expect("it waits")
            .passed
    }

    fn holds(&self, id: &str) -> (LeaseId, u64) {
        let mut leases = self.arbiter.leases();
        let lease = leases.find(|lease| lease.request_id.as_str() == id);
        lease
            .map(|lease| (lease.id(), lease.token))
            .unwrap_or_else(|| panic!("{id} holds nothing"))
    }

    fn gpus_of(&self, id: &str) -> Vec<String> {
        let (lease_id, _) = self.holds(id);
        let lease = self.arbiter.lease(&lease_id).expect("it is live");
        let grant = self.arbiter.grant(self.now, lease);
        grant.gpu_ids.iter().map(ToString::to_string).collect()
    }

    fn releases(&mut self, id: &str) {
        let (lease_id, token) = self.holds(id);
        let release = Command::Release {
            lease_id,
            token,
            caller: caller(),
        };
        self.run(&release).expect("it holds it");
    }

    fn loses(&mut self, id: &str, connection: Connection) {
        let request_id = RequestId::from(id);
        self.run(&Command::ConnectionLost {
            request_id,
            connection,
        })
        .expect("taken in");
    }

    fn undelivered(&mut self, id: &str, connection: Connection) {
        let request_id = RequestId::from(id);
        self.run(&Command::Undelivered {
            request_id,
            connection,
        })
        .expect("taken in");
    }

    fn look(&mut self, id: &str) -> Result<Reply, Refusal> {
        self.look_as(id, caller())
    }

    fn look_as(&mut self, id: &str, caller: Caller) -> Result<Reply, Refusal> {
        let connection = self.connection();
        self.run(&Command::Look {
            request_id: RequestId::from(id),
            caller,
            connection,
        })
    }

    fn outcome(&mut self, id: &str) -> Option<Outcome> {
        match self.look(id) {
            Ok(Reply::Request(view)) => view.state.outcome,
            other => panic!("a look at {id} is answered with {other:?}"),
        }
    }

    fn renews(&mut self, id: &str, operation: Option<&str>) -> Result<Reply, Refusal> {
        let (lease_id, token) = self.holds(id);
        let operation = operation.map(str::to_owned);
        self.run(&Command::Renew {
            lease_id,
            token,
            operation,
            caller: caller(),
        })
    }

    fn why(&self, id: &str) -> warden::wire::Why {
        let view = self.peek(&RequestId::from(id), caller());
        view.and_then(|view| view.state.why)
            .unwrap_or_else(|| panic!("{id} does not wait"))
    }
}

#[track_caller]
fn refused(answer: Result<Reply, Refusal>, code: Code) -> Refusal {
    let refusal = answer.expect_err("this must be refused");
    assert_eq!(refusal.code, code, "{}", refusal.detail);
    refusal
}
