//! `syncline rollout`: a version on its way through the regions.

mod args;
mod remerge;
mod shown;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

pub(super) use args::{PlanArgs, ROLLOUT_EXAMPLES, RolloutCommand};
pub(super) use shown::Rollout;

use super::client::{Client, encode};
use super::failure::Failure;
use super::output::{Output, note, printable};
use args::{CreateArgs, SteerArgs, Which, Why};

/// How often a rollout is looked at while a command waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Rollouts {
    items: Vec<Rollout>,
}

pub(super) fn run(command: RolloutCommand, client: &Client, out: &Output) -> Result<(), Failure> {
    let steer = |SteerArgs { which, why }: SteerArgs, verb| {
        steered(&which, verb, json!({}), why, client, out)
    };
    match command {
        RolloutCommand::Create(args) => create(&args, client, out),
        RolloutCommand::List { table } => list(table.as_deref(), client, out),
        RolloutCommand::Show(which) => show(&id_of(&which, client)?, client, out),
        RolloutCommand::Watch(which) => {
            let id = id_of(&which, client)?;
            watch(&id, None, client)?;
            show(&id, client, out)
        }
        RolloutCommand::Promote { which, to_stage, why } => {
            let body = to_stage.map_or(json!({}), |stage| json!({"to_stage": stage}));
            steered(&which, "promote", body, why, client, out)
        }
        RolloutCommand::Pause(args) => steer(args, "pause"),
        RolloutCommand::Resume(args) => steer(args, "resume"),
        RolloutCommand::Abort(args) => steer(args, "abort"),
        RolloutCommand::Claim(args) => steer(args, "claim"),
        RolloutCommand::Remerge { id, plan } => remerge::run(&id, plan, client, out),
    }
}

fn create(args: &CreateArgs, client: &Client, out: &Output) -> Result<(), Failure> {
    let mut body = args.plan.body();
    body["table"] = json!(args.table);
    body["version"] = json!(args.version);
    let path = if args.plan.plan { "/v1/rollouts?plan=true" } else { "/v1/rollouts" };
    let answer = client.send(Method::POST, path, &[], body.to_string().into_bytes())?;
    if args.plan.plan {
        return super::plan::show(&answer, client, out);
    }
    let created: Rollout = client.decode(&answer)?;
    if args.watch {
        watch(&created.rollout_id, None, client)?;
    }
    show(&created.rollout_id, client, out)
}

impl PlanArgs {
    /// As the API takes it.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({});
        if let Some(stages) = &self.stages {
            let stage = |stage: &str| stage.split(',').map(|name| name.trim().to_owned()).collect();
            body["stages"] = json!(stages.split(';').map(stage).collect::<Vec<Vec<String>>>());
        }
        let duration = |wait: Duration| json!(format!("{}ms", wait.as_millis()));
        for (name, wait) in [("bake", self.bake), ("shadow", self.shadow)] {
            if let Some(wait) = wait {
                body[name] = duration(wait);
            }
        }
        if self.manual {
            body["promotion"] = json!("manual");
        }
        for gate in &self.gates {
            body["gates"][gate.name] =
                json!({"limit": gate.limit, "min_conflicts": gate.min_conflicts});
        }
        if let Some(why) = &self.why {
            body["why"] = json!(why);
        }
        if let Some(actor) = actor() {
            body["actor"] = json!(actor);
        }
        body
    }

    /// True if nothing is said of how it is to go.
    pub(super) fn is_default(&self) -> bool {
        let Self { stages, bake, shadow, manual, gates, why, plan: _ } = self;
        let waits = bake.is_some() || shadow.is_some();
        stages.is_none() && !waits && !manual && gates.is_empty() && why.is_none()
    }
}

/// Who types, as far as the machine says: for the history, not for access.
pub(super) fn actor() -> Option<String> {
    let user = ["SYNCLINE_ACTOR", "USER", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    user.map(|user| user.chars().take(100).collect())
}

fn list(table: Option<&str>, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get("/v1/rollouts", &[("table", table)])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let rollouts: Rollouts = client.decode(&answer)?;
    out.text(&shown::table(&rollouts.items))
}

fn show(id: &str, client: &Client, out: &Output) -> Result<(), Failure> {
    let answer = client.get(&path(id), &[])?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    out.text(&client.decode::<Rollout>(&answer)?.text())
}

fn path(id: &str) -> String {
    format!("/v1/rollouts/{}", encode(id))
}

/// The rollout that is named, or the table's last that was not superseded.
fn id_of(which: &Which, client: &Client) -> Result<String, Failure> {
    let table = match (&which.id, &which.table) {
        (Some(id), _) => return Ok(id.clone()),
        (None, table) => table.as_deref().unwrap_or_default(),
    };
    let answer = client.get("/v1/rollouts", &[("table", Some(table))])?;
    let rollouts: Rollouts = client.decode(&answer)?;
    let counts = |rollout: &&Rollout| rollout.state != "superseded";
    let last = rollouts.items.iter().rev().find(counts);
    last.map(|rollout| rollout.rollout_id.clone()).ok_or_else(|| {
        Failure::Failed(format!("this region knows of no rollout of table {}", printable(table)))
    })
}

fn steered(
    which: &Which,
    verb: &str,
    mut body: Value,
    why: Why,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let id = id_of(which, client)?;
    if let Some(why) = why.why {
        body["why"] = json!(why);
    }
    if let Some(actor) = actor() {
        body["actor"] = json!(actor);
    }
    let path = format!("{}/{verb}", path(&id));
    let answer = client.send(Method::POST, &path, &[], body.to_string().into_bytes())?;
    if out.is_json() {
        return out.json_as_it_came(&answer.body);
    }
    let rollout: Rollout = client.decode(&answer)?;
    out.text(&format!("rollout {} is {}\n", printable(&id), printable(&rollout.standing())))
}

/// Follows a rollout and says what happens to it, until it ends: complete is done, all else is not.
/// A region that cannot be reached for a while is asked again.
pub(super) fn watch(
    id: &str,
    timeout: Option<Duration>,
    client: &Client,
) -> Result<Rollout, Failure> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut told = Told::default();
    loop {
        let rollout: Rollout = client.decode(&client.get(&path(id), &[])?)?;
        for line in told.news(&rollout) {
            note(&line);
        }
        match rollout.state.as_str() {
            "complete" if rollout.regions.values().all(|at| at.state == "active") => {
                return Ok(rollout);
            }
            "aborted" | "superseded" => return Err(ended(&rollout)),
            _ if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Err(late(&rollout, timeout.unwrap_or_default()));
            }
            _ => thread::sleep(LOOK_EVERY),
        }
    }
}

/// What was told already.
#[derive(Default)]
struct Told {
    standing: String,
    regions: BTreeMap<String, String>,
    gates: Vec<String>,
}

impl Told {
    /// What has changed since it was last looked at.
    fn news(&mut self, rollout: &Rollout) -> Vec<String> {
        let mut news = Vec::new();
        let standing = rollout.standing();
        if standing != self.standing {
            news.push(printable(&standing));
            self.standing = standing;
        }
        for (name, region) in &rollout.regions {
            let reason = region.reason.as_ref().map(|reason| format!(": {reason}"));
            let state = format!("{}{}", region.state, reason.unwrap_or_default());
            if self.regions.get(name) != Some(&state) {
                news.push(printable(&format!("  {name}: {state}")));
                self.regions.insert(name.clone(), state);
            }
        }
        let gates: Vec<String> = rollout.gates.iter().map(shown_gate).collect();
        if gates != self.gates {
            news.extend(gates.iter().map(|gate| printable(&format!("  gate {gate}"))));
            self.gates = gates;
        }
        news
    }
}

fn shown_gate(gate: &shown::Gate) -> String {
    gate.line()
}

fn ended(rollout: &Rollout) -> Failure {
    let why = match &rollout.reason {
        Some(reason) => format!(": {reason}"),
        None if rollout.state == "superseded" => {
            ": another rollout of this table came first".to_owned()
        }
        None => String::new(),
    };
    Failure::Failed(printable(&format!("rollout {} is {}{why}", rollout.rollout_id, rollout.state)))
}

fn late(rollout: &Rollout, timeout: Duration) -> Failure {
    let missing = rollout.regions.iter().filter(|(_, region)| region.state != "active");
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    Failure::Failed(printable(&format!(
        "rollout {id} is {} after {} s, not active in {}; it goes on without this command, `syncline \
         rollout watch {id}` follows it",
        rollout.standing(),
        timeout.as_secs_f32(),
        if missing.is_empty() { "any region".to_owned() } else { missing.join(", ") },
        id = rollout.rollout_id,
    )))
}
