//! A region of two nodes beside a region of one, each node a process of its own, over a real broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use syncline_broker::{Broker, Jars};
use syncline_chaos::over_kafka;
use syncline_harness::{
    Digests, If, PATIENCE, Process, Region, Serve, example_function, later_cart, wait_for,
};
use tempfile::TempDir;

/// The first half is that of node `a`.
const PARTITIONS: u32 = 4;
const ROWS: usize = 40;
const TABLE: &str = "carts";

fn main() -> ExitCode {
    over_kafka(env!("CARGO_TARGET_TMPDIR"), |kafka, only| play(kafka, &only))
}

type Step = fn(&mut World) -> Result<()>;

/// Each goes on where the one before has left off.
const STEPS: &[(&str, Step)] = &[
    ("both nodes say what they have", says_what_it_has),
    ("any node answers for any row", any_node_answers),
    ("a merge function is in all nodes before it is anywhere in use", rolls_out),
    ("conflicts in the rows of either node end alike everywhere", conflicts),
    ("a node is killed", the_follower_is_killed),
    ("the node that leads is killed, and the other starts without it", the_lead_is_killed),
    ("a rollout goes on after that", rolls_out_again),
    ("a node is paused and holds up no other", the_follower_is_paused),
    ("a lead on an empty folder tells the other nothing", the_lead_is_empty),
    ("another region is evicted and its log is read no more", evicts),
    ("another region joins, and is counted in both nodes", joins),
    ("what an earlier version decided is folded again in both nodes", folds_again),
    ("a version that is deleted is gone in both nodes", deletes),
    ("of two that claim the same one is refused", two_claim_the_same),
];

fn play(kafka: &Path, only: &[String]) -> Result<()> {
    let jars = Jars::fetch(kafka).context("get Apache Kafka")?;
    let broker = Broker::named("nodes-a", &kafka.join("run"))?;
    // One that a run left behind that was killed.
    broker.stop()?;
    broker.clear()?;
    broker.start(&jars, None)?;
    let played = World::start(broker.clone(), jars).and_then(|mut world| {
        for (name, step) in STEPS {
            let is_chosen = only.is_empty() || only.iter().any(|word| name.contains(word.as_str()));
            if is_chosen {
                let started = std::time::Instant::now();
                step(&mut world).with_context(|| format!("{name}\n{}", world.logs()))?;
                eprintln!("{name}: {:.1} s", started.elapsed().as_secs_f64());
            }
        }
        Ok(())
    });
    broker.stop()?;
    played
}

struct World {
    broker: Broker,
    jars: Jars,
    folder: TempDir,
    address: String,
    /// The two nodes of `eu`; the first leads.
    a: Serve,
    b: Serve,
    us: Serve,
    gone: Serve,
}

impl World {
    fn start(broker: Broker, jars: Jars) -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let address = broker.address().context("a broker has an address")?;
        let below = |name: &str| folder.path().join(name);
        let a = Serve::new("eu", &below("a"), "")?;
        let b = Serve::new("eu", &below("b"), "")?;
        let us = Serve::new("us", &below("us"), &shared(&address))?;
        let gone = Serve::new("gone", &below("gone"), &shared(&address))?;
        let mut world = Self { broker, jars, folder, address, a, b, us, gone };
        world.configure(&world.a, "a", ["0-1", "2-3"])?;
        world.configure(&world.b, "b", ["0-1", "2-3"])?;
        for serve in [&mut world.a, &mut world.b, &mut world.us, &mut world.gone] {
            serve.start()?;
        }
        Ok(world)
    }

    /// Writes the configuration of one of the nodes, each with these partitions.
    fn configure(&self, serve: &Serve, node: &str, partitions: [&str; 2]) -> Result<()> {
        let own = fs::read_to_string(serve.config())?;
        let own = own.split("[bus]").next().unwrap_or_default();
        let lines = own.split_inclusive('\n').filter(|line| !line.starts_with("node = "));
        let own = lines.collect::<String>().replacen(
            "[region]\n",
            &format!("[region]\nnode = \"{node}\"\n"),
            1,
        );
        let nodes = [("a", &self.a, partitions[0]), ("b", &self.b, partitions[1])];
        let nodes = nodes.map(|(name, serve, has)| {
            format!("[nodes.{name}]\nurl = \"{}\"\npartitions = \"{has}\"\n", serve.region.url)
        });
        let text = format!("{own}{}{}", shared(&self.address), nodes.concat());
        fs::write(serve.config(), text).context("write a node's configuration")
    }

    fn regions(&self) -> [&Region; 3] {
        [&self.a.region, &self.b.region, &self.us.region]
    }

    fn logs(&self) -> String {
        let of = [("a", &self.a), ("b", &self.b), ("us", &self.us)];
        of.map(|(name, serve)| format!("--- {name}:\n{}", serve.process.log())).concat()
    }

    /// Waits until all hold the same, whichever node of `eu` is asked.
    fn converges(&self) -> Result<()> {
        wait_for("all regions to hold the same", PATIENCE, || {
            let all = self.regions().map(Region::digests);
            let all = all.into_iter().collect::<Result<Vec<_>>>()?;
            Digests::comparable(&all)?;
            for region in [&self.a.region, &self.us.region] {
                let outbox = region.topology()?["outbox"].clone();
                ensure!(outbox == 0, "{}: {outbox} changes are not confirmed", region.name);
            }
            Digests::equal(&all)
        })
    }
}

fn shared(address: &str) -> String {
    let regions = ["eu", "us", "gone"]
        .map(|name| format!("[regions.{name}]\nbootstrap_servers = \"{address}\"\n"));
    format!(
        "[bus]\nkind = \"kafka\"\npartitions = {PARTITIONS}\n[limits]\nstart_wait = \"3s\"\n{}",
        regions.concat()
    ) + &format!("[regions.new]\nbootstrap_servers = \"{address}\"\njoins = true\n")
}

/// Writes a row; gives its partition.
fn put(region: &Region, pk: &str, image: &str) -> Result<u32> {
    let answer = region.put(TABLE, pk, image, If::Always)?.success()?.json();
    let token = answer["token"].as_str().unwrap_or_default();
    let partition = token.split(['/', '@']).nth(1).and_then(|number| number.parse().ok());
    partition.with_context(|| format!("a token names its partition, and not {token}"))
}

fn cart(count: usize) -> String {
    items(&[("apple", count)])
}

fn items(all: &[(&str, usize)]) -> String {
    let item = |(id, count): &(&str, usize)| json!({"id": id, "qty": count});
    json!({"items": all.iter().map(item).collect::<Vec<_>>()}).to_string()
}

/// A row of each node: by its partition, that of `a` first.
fn row_of_each(region: &Region, prefix: &str) -> Result<[String; 2]> {
    let mut found: BTreeMap<bool, String> = BTreeMap::new();
    for number in 0.. {
        let pk = format!("{prefix}-{number}");
        let partition = put(region, &pk, &cart(1))?;
        found.insert(partition >= PARTITIONS / 2, pk);
        if let (Some(of_a), Some(of_b)) = (found.get(&false), found.get(&true)) {
            return Ok([of_a.clone(), of_b.clone()]);
        }
        ensure!(number < 64, "no row of either node: {found:?}");
    }
    unreachable!("the loop ends with an answer")
}

fn ready(region: &Region) -> Result<Value> {
    Ok(region.request("GET", "/readyz", &[], None)?.success()?.json())
}

fn says_what_it_has(world: &mut World) -> Result<()> {
    for (serve, node, partitions) in [(&world.a, "a", "0-1"), (&world.b, "b", "2-3")] {
        let state = ready(&serve.region)?;
        ensure!(state["node"] == node && state["partitions"] == partitions, "{state}");
        ensure!(state["lead"] == "a" && state["dark"] == json!([]), "{state}");
    }
    let elsewhere = ready(&world.us.region)?;
    ensure!(elsewhere.get("node").is_none(), "{elsewhere}");
    Ok(())
}

fn any_node_answers(world: &mut World) -> Result<()> {
    let (a, b) = (&world.a.region, &world.b.region);
    let mut owners = [0, 0];
    for number in 0..ROWS {
        let (writer, reader) = if number % 2 == 0 { (a, b) } else { (b, a) };
        let pk = format!("row/{number:03} é%");
        let partition = put(writer, &pk, &cart(number))?;
        owners[usize::from(partition >= PARTITIONS / 2)] += 1;
        let row = reader.get(TABLE, &pk)?.context("the other node answers for it")?;
        let own = writer.get(TABLE, &pk)?.context("it was written")?;
        ensure!(row.etag == own.etag && row.image == own.image, "{pk} is not the same");
        let refused = reader.put(TABLE, &pk, "{}", If::Absent)?;
        ensure!(refused.status == 412 && refused.code() == "precondition-failed", "{refused}");
        let written = reader.put(TABLE, &pk, &cart(number + 1), If::Match(&row.etag))?;
        ensure!(written.status == 200, "{written}");
    }
    ensure!(owners.iter().all(|rows| *rows > 0), "one node has all rows: {owners:?}");
    let rows = a.rows(TABLE)?;
    ensure!(rows.len() == ROWS && rows == b.rows(TABLE)?, "{} rows", rows.len());
    let few = a.get_json(&format!("/v1/tables/{TABLE}/rows?limit=3"))?;
    ensure!(few["items"].as_array().is_some_and(|items| items.len() == 3), "{few}");
    ensure!(few["items"][2]["row_pk"] == rows[2].0, "{few}");
    let deleted = b.delete(TABLE, &rows[0].0, If::Always)?;
    ensure!(deleted.status == 200, "{deleted}");
    ensure!(a.get(TABLE, &rows[0].0)?.is_none(), "it was deleted");
    let bad = b.put(TABLE, &rows[1].0, "nonsense", If::Always)?;
    ensure!(bad.status == 400 && bad.code() == "invalid-row", "{bad}");
    let unknown = a.request("GET", "/v1/quarantine?node=c", &[], None)?;
    ensure!(unknown.status == 404 && unknown.code() == "node-not-found", "{unknown}");
    let alerts = a.get_json("/v1/alerts?node=b")?;
    ensure!(alerts["items"].is_array(), "{alerts}");
    world.converges()
}

fn rolls_out(world: &mut World) -> Result<()> {
    let version = world.b.region.deploy(TABLE, &example_function("cart")?)?;
    let (a, b) = (world.a.region.functions()?, world.b.region.functions()?);
    ensure!(a == b && a.iter().any(|function| function["version"] == version), "{a:?} {b:?}");
    // Its log is each node's own, and there only where it is loaded.
    for node in ["a", "b"] {
        let path = format!("/v1/merge-functions/{version}/log?node={node}");
        world.a.region.get_json(&path)?;
    }
    Ok(())
}

/// Waits until both nodes of `eu` go by the same: one stamps with a version a little after the other.
fn go_by_the_same(world: &World) -> Result<()> {
    wait_for("both nodes to go by the same", PATIENCE, || {
        let goes_by = |region: &Region| Ok(region.get_json("/v1/node")?["goes_by"].clone());
        let all: Result<Vec<Value>> =
            [&world.a.region, &world.b.region].map(goes_by).into_iter().collect();
        let all = all?;
        ensure!(all[0].is_string() && all[0] == all[1], "{all:?}");
        Ok(())
    })
}

/// Writes a row of each node in both regions at once, and waits for one outcome.
fn conflicts_in_each(world: &World, prefix: &str, function: &str) -> Result<()> {
    go_by_the_same(world)?;
    let rows = row_of_each(&world.a.region, prefix)?;
    world.converges()?;
    // Without the broker neither region hears of the other's write.
    world.broker.kill()?;
    for (pk, other) in rows.iter().zip([&world.b, &world.a]) {
        // The newer write is the node's: it is that one's stamp which decides.
        put(&world.us.region, pk, &items(&[("apple", 1), ("us", 3)]))?;
        put(&other.region, pk, &items(&[("apple", 1), ("eu", 2)]))?;
    }
    world.broker.start(&world.jars, None)?;
    world.converges()?;
    for (pk, node) in rows.iter().zip(["a", "b"]) {
        let row = world.us.region.get(TABLE, pk)?.context("it was written")?;
        let query = format!("table={TABLE}&row_pk={pk}&node={node}");
        let met = world.b.region.conflicts(&query)?;
        let text = String::from_utf8_lossy(&row.image).into_owned();
        ensure!(met.len() == 1 && met[0]["merge_function"] == function, "{met:?}");
        ensure!(text.contains("eu") && text.contains("us"), "{pk} lost a side: {text}");
    }
    Ok(())
}

fn conflicts(world: &mut World) -> Result<()> {
    let functions = world.a.region.functions()?;
    let version = functions[0]["version"].as_str().context("it has a version")?.to_owned();
    conflicts_in_each(world, "conflict", &version)
}

/// What a node answers for a row of another one that is dark.
fn is_dark(asked: &Region, pk: &str, node: &str) -> Result<()> {
    let read = asked.request("GET", &format!("/v1/tables/{TABLE}/rows/{pk}"), &[], None)?;
    ensure!(!read.to_string().contains("not known"), "it was a read: {read}");
    for answer in [
        asked.put(TABLE, pk, "{}", If::Always)?,
        read,
        asked.request("GET", "/v1/digests", &[], None)?,
    ] {
        ensure!(answer.status == 503 && answer.code() == "node-dark", "{answer}");
        ensure!(answer.json()["node"] == node, "{answer}");
        ensure!(answer.header("retry-after").is_some(), "{answer}");
    }
    Ok(())
}

fn the_follower_is_killed(world: &mut World) -> Result<()> {
    let [of_a, of_b] = row_of_each(&world.a.region, "killed")?;
    world.b.process.kill9()?;
    is_dark(&world.a.region, &of_b, "b")?;
    put(&world.a.region, &of_a, &cart(7))?;
    wait_for("node a to tell that b is dark", PATIENCE, || {
        let state = ready(&world.a.region)?;
        ensure!(
            state["dark"][0]["node"] == "b" && state["dark"][0]["partitions"] == "2-3",
            "{state}"
        );
        Ok(())
    })?;
    let alerts = world.a.region.get_json("/v1/alerts")?.to_string();
    ensure!(alerts.contains("node-dark"), "{alerts}");
    world.b.start()?;
    wait_for("the row of node b to be written", PATIENCE, || {
        put(&world.a.region, &of_b, &cart(8)).map(drop)
    })?;
    world.converges()
}

fn the_lead_is_killed(world: &mut World) -> Result<()> {
    let [of_a, of_b] = row_of_each(&world.b.region, "led")?;
    world.a.process.kill9()?;
    put(&world.b.region, &of_b, &cart(7))?;
    is_dark(&world.b.region, &of_a, "a")?;
    world.b.process.kill9()?;
    world.b.start()?;
    put(&world.b.region, &of_b, &cart(9))?;
    let version = world.b.region.request("GET", "/v1/rollouts", &[], None)?;
    ensure!(version.status == 503 && version.code() == "node-dark", "{version}");
    let read = wait_for("the other region to have what node b wrote", PATIENCE, || {
        let row = world.us.region.get(TABLE, &of_b)?.context("it was written")?;
        ensure!(row.image == cart(9).as_bytes(), "it has not come yet");
        Ok(())
    });
    read?;
    world.a.start()?;
    wait_for("the row of node a to be written", PATIENCE, || {
        put(&world.b.region, &of_a, &cart(10)).map(drop)
    })?;
    world.converges()
}

fn rolls_out_again(world: &mut World) -> Result<()> {
    let version = world.a.region.deploy(TABLE, &later_cart("cart-with-total")?)?;
    conflicts_in_each(world, "again", &version)
}

/// More than a process has threads that may wait.
const ASKED_AT_ONCE: usize = 600;

fn the_follower_is_paused(world: &mut World) -> Result<()> {
    let [of_a, of_b] = row_of_each(&world.a.region, "paused")?;
    world.b.process.pause()?;
    for _ in 0..ASKED_AT_ONCE {
        let (asked, pk) = (world.a.region.clone(), of_b.clone());
        // What it is told does not matter, nor that nobody tells it at the end.
        thread::spawn(move || drop(asked.get(TABLE, &pk)));
    }
    // Soon enough that it cannot have waited for the other node.
    let impatient = Region::with_timeout("eu", &world.a.region.url, Duration::from_secs(20));
    wait_for("node a to tell that b is dark", PATIENCE, || {
        for number in 0..20 {
            put(&impatient, &of_a, &cart(number))?;
            ensure!(impatient.get(TABLE, &of_a)?.is_some(), "it was written");
        }
        let state = ready(&impatient)?;
        ensure!(state["dark"][0]["node"] == "b", "{state}");
        Ok(())
    })?;
    is_dark(&impatient, &of_b, "b")?;
    let ended = world.a.process.stop()?;
    ensure!(ended.success(), "node a ended with {ended}");
    world.b.process.resume()?;
    world.a.start()?;
    wait_for("the row of node b to be written", PATIENCE, || {
        put(&world.a.region, &of_b, &cart(9)).map(drop)
    })?;
    world.converges()
}

fn the_lead_is_empty(world: &mut World) -> Result<()> {
    let rollouts = rollouts(&world.a.region)?;
    let last = rollouts.last().context("there were rollouts")?;
    let version = last["version"].as_str().context("a rollout has a version")?.to_owned();
    world.a.process.kill9()?;
    world.broker.kill()?;
    let (data, kept) = (world.a.data(), world.folder.path().join("kept"));
    fs::rename(&data, &kept).context("put the lead's folder aside")?;
    world.a.start()?;
    let refused = "has not read the end of its own log yet";
    wait_for("node b to be told to wait", PATIENCE, || {
        let log = world.b.process.log();
        ensure!(log.contains(refused), "it was not: {log}");
        Ok(())
    })?;
    world.broker.start(&world.jars, None)?;
    wait_for("the lead to stop", PATIENCE, || {
        world.a.process.ended()?.context("it still runs").map(drop)
    })?;
    let log = world.a.process.log();
    ensure!(log.contains("its disk is old"), "it does not say why:\n{log}");
    fs::remove_dir_all(&data).context("remove the empty folder")?;
    fs::rename(&kept, &data).context("put the lead's folder back")?;
    world.a.start()?;
    conflicts_in_each(world, "empty", &version)
}

fn evicts(world: &mut World) -> Result<()> {
    put(&world.gone.region, "of-gone", &cart(1))?;
    wait_for("the row to be everywhere", PATIENCE, || {
        for region in world.regions() {
            region.get(TABLE, "of-gone")?.context("it has not come yet")?;
        }
        Ok(())
    })?;
    world.gone.process.kill9()?;
    let body = json!({"regions": ["gone"]}).to_string();
    let headers = [("content-type", "application/json")];
    let asked = &world.b.region;
    let evict = asked.request("POST", "/v1/topology/evict", &headers, Some(body.as_bytes()))?;
    evict.success()?;
    wait_for("all to be without it", PATIENCE, || {
        for region in world.regions() {
            let topology = region.topology()?;
            let members = topology["members"].to_string();
            ensure!(!members.contains("gone"), "{}: {topology}", region.name);
            let open = topology["membership"].to_string();
            ensure!(open.contains("complete"), "{}: {topology}", region.name);
        }
        Ok(())
    })?;
    let metrics = world.b.region.request("GET", "/metrics", &[], None)?.success()?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    ensure!(!metrics.contains("source=\"gone\",state=\"up\""), "{metrics}");
    let join = json!({"region": "new"}).to_string();
    let asked = &world.a.region;
    let join = asked.request("POST", "/v1/topology/join", &headers, Some(join.as_bytes()))?;
    ensure!(join.status == 409 && join.code() == "several-nodes", "{join}");
    row_of_each(&world.a.region, "evicted")?;
    world.converges()
}

fn joins(world: &mut World) -> Result<()> {
    let folder = world.folder.path().join("new");
    let new = Serve::new("new", &folder, &shared(&world.address))?;
    let mut new = new.with_region_line("join_from = \"us\"")?;
    let headers = [("content-type", "application/json")];
    let body = json!({"region": "new"}).to_string();
    let asked = &world.us.region;
    asked.request("POST", "/v1/topology/join", &headers, Some(body.as_bytes()))?.success()?;
    new.start()?;
    let rows = row_of_each(&world.b.region, "joined")?;
    put(&new.region, "of-new", &cart(1))?;
    wait_for("the new region and both nodes to have the same", PATIENCE, || {
        for region in [&world.a.region, &world.b.region] {
            region.get(TABLE, "of-new")?.context("it has not come yet")?;
        }
        for pk in &rows {
            new.region.get(TABLE, pk)?.context("it has not come yet")?;
        }
        Digests::equal(&[world.a.region.digests()?, new.region.digests()?])
    })?;
    // What follows needs every region that is counted.
    new.process.kill9()?;
    let body = json!({"regions": ["new"]}).to_string();
    let asked = &world.us.region;
    asked.request("POST", "/v1/topology/evict", &headers, Some(body.as_bytes()))?.success()?;
    wait_for("all to be without it again", PATIENCE, || {
        for region in world.regions() {
            let members = region.topology()?["members"].to_string();
            ensure!(!members.contains("new"), "{}: {members}", region.name);
        }
        Ok(())
    })
}

/// The rollouts of the table, the first one first.
fn rollouts(region: &Region) -> Result<Vec<Value>> {
    let mut all = region.get_json("/v1/rollouts")?["items"].as_array().cloned().unwrap_or_default();
    all.sort_by_key(|rollout| rollout["created_at"].as_str().unwrap_or_default().to_owned());
    Ok(all)
}

fn folds_again(world: &mut World) -> Result<()> {
    let rollouts = rollouts(&world.b.region)?;
    let id = rollouts[0]["rollout_id"].as_str().context("a rollout has an id")?;
    let path = format!("/v1/rollouts/{id}/remerge?plan=true");
    let plan = world.b.region.request("POST", &path, &[], Some(b""))?.success()?.json();
    // One row of each node, met in a conflict while the first version was in force.
    let rows = plan["rows"].as_array().map_or(0, Vec::len);
    ensure!(rows == 2 && plan["rows"].to_string().contains("total"), "{plan}");
    Ok(())
}

fn deletes(world: &mut World) -> Result<()> {
    let rollouts = rollouts(&world.b.region)?;
    let version = rollouts[0]["version"].as_str().context("a rollout has a version")?.to_owned();
    let path = format!("/v1/merge-functions/{version}");
    let deleted = world.b.region.request("DELETE", &path, &[], None)?.success()?;
    ensure!(deleted.status == 202 || deleted.status == 200, "{deleted}");
    wait_for("the version to be deleted", PATIENCE, || {
        let shown = world.b.region.get_json(&path)?;
        ensure!(shown["state"] == "deleted", "{shown}");
        for node in ["a", "b"] {
            let log = format!("{path}/log?node={node}");
            let answer = world.a.region.request("GET", &log, &[], None)?;
            ensure!(answer.code() == "function-not-found", "node {node} has it: {answer}");
        }
        Ok(())
    })
}

/// Runs a process that must end by itself, and gives what it wrote.
fn is_refused(name: &str, serve: &Serve) -> Result<String> {
    let mut process = Process::new(name, serve.config().with_extension("log"));
    let mut command = serve.command()?;
    process.start(&mut command, &[])?;
    wait_for(&format!("{name} to end"), PATIENCE, || {
        let status = process.ended()?.context("it still runs")?;
        ensure!(!status.success(), "it ended as if all was well");
        Ok(())
    })?;
    Ok(process.log())
}

/// Two processes of one machine cannot have one port.
fn on_any_port(serve: &Serve) -> Result<()> {
    let text = fs::read_to_string(serve.config())?;
    let own = serve.region.url.trim_start_matches("http://");
    let text = text.replacen(&format!("listen = \"{own}\""), "listen = \"127.0.0.1:0\"", 1);
    fs::write(serve.config(), text).context("write a node's configuration")
}

fn two_claim_the_same(world: &mut World) -> Result<()> {
    let [_, of_b] = row_of_each(&world.a.region, "claimed")?;
    let says = |log: &str, expected: &str| {
        ensure!(log.contains(expected), "it does not say {expected:?}:\n{log}");
        Ok(())
    };
    let second = Serve::new("eu", &world.folder.path().join("second"), "")?;
    world.configure(&second, "b", ["0-1", "2-3"])?;
    on_any_port(&second)?;
    says(&is_refused("a second node b", &second)?, "another process is node b")?;
    let greedy = Serve::new("eu", &world.folder.path().join("greedy"), "")?;
    world.configure(&greedy, "b", ["0", "1-3"])?;
    on_any_port(&greedy)?;
    says(
        &is_refused("a node b that wants more", &greedy)?,
        "gives partition 1 to a, that of this node to b",
    )?;
    let whole = Serve::new("eu", &world.folder.path().join("whole"), &shared(&world.address))?;
    says(&is_refused("a region that is one node", &whole)?, "its disk is old")?;
    // With the store of node b, and the partitions of both.
    world.b.process.stop()?;
    let config = fs::read_to_string(world.b.config())?;
    world.configure(&world.b, "b", ["0", "1-3"])?;
    let log = is_refused("node b with other partitions", &world.b)?;
    says(&log, "node b, number 1 by name, with the partitions 2-3")?;
    fs::write(world.b.config(), config)?;
    world.b.start()?;
    wait_for("the row of node b to be written", PATIENCE, || {
        put(&world.a.region, &of_b, &cart(3)).map(drop)
    })?;
    world.converges()
}
