//! Regions that come and go, by HTTP and the command line.

use serde_json::{Value, json};
use syncline_harness::{Dev, If, PATIENCE, Region, wait_for};
use syncline_integration::{Ran, run_cli};

fn run(region: &Region, arguments: &[&str]) -> Ran {
    run_cli(&region.url, arguments, "").unwrap()
}

fn ask(region: &Region, path: &str, body: &str) -> (u16, Value) {
    let json = [("content-type", "application/json")];
    let answer = region.request("POST", path, &json, Some(body.as_bytes())).unwrap();
    (answer.status, answer.json())
}

#[test]
fn a_region_is_evicted_by_the_command_line_and_says_so() {
    let dev = Dev::start(&["a", "b", "c"]).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    let plan = run(a, &["topology", "evict", "c", "--plan"]);
    assert!(plan.code == 0 && plan.stdout.contains("members then   a, b"), "{plan:?}");
    let unsure = run(a, &["topology", "evict", "c"]);
    assert!(unsure.code == 2 && unsure.stderr.contains("--yes"), "{unsure:?}");
    assert_eq!(a.topology().unwrap()["membership"], json!([]));

    let evicted = run(a, &["topology", "evict", "c", "--yes", "--watch", "--output", "json"]);
    assert_eq!((evicted.code, evicted.json()["state"].as_str()), (0, Some("complete")));
    let shown = run(b, &["topology", "show"]);
    assert!(shown.stdout.contains("members      a, b"), "{shown:?}");
    wait_for("c to hear of it", PATIENCE, || {
        let ready = c.request("GET", "/readyz", &[], None)?;
        anyhow::ensure!(ready.status == 503 && ready.code() == "not-a-member", "{ready:?}");
        anyhow::ensure!(ready.json()["detail"].as_str().unwrap().contains("join 'c#2'"));
        Ok(())
    })
    .unwrap();
    let late = c.put("notes", "n", "{}", If::Always).unwrap();
    assert_eq!((late.status, late.code().as_str()), (503, "not-a-member"));
    let alerts = c.request("GET", "/v1/alerts", &[], None).unwrap().json();
    assert_eq!(alerts["items"][0]["code"], "region-evicted", "{alerts}");

    // The others go on.
    a.put("notes", "n", "{\"n\":1}", If::Always).unwrap().success().unwrap();
    wait_for("b to have it", PATIENCE, || {
        b.get("notes", "n")?.ok_or_else(|| anyhow::anyhow!("it is not there"))
    })
    .unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let dev = Dev::start(&["a", "b"]).unwrap();
    let [a, _] = dev.regions() else { panic!("two regions") };
    let (join, evict) = ("/v1/topology/join", "/v1/topology/evict");
    for (path, body, status, code) in [
        (join, "{\"region\":\"b\"}", 409, "incarnation-used"),
        (join, "{\"region\":\"b#2\"}", 409, "old-incarnation"),
        (join, "{\"region\":\"b c\"}", 400, "invalid-request"),
        (join, "{\"regions\":[\"c\"]}", 400, "invalid-request"),
        (join, "", 400, "invalid-request"),
        (evict, "{\"regions\":[]}", 400, "invalid-request"),
        (evict, "{\"regions\":[\"a\"]}", 422, "evicts-itself"),
        (evict, "{\"regions\":[\"z\"]}", 404, "region-not-found"),
        ("/v1/topology/join?plan=perhaps", "{\"region\":\"c\"}", 400, "invalid-request"),
    ] {
        let (found, problem) = ask(a, path, body);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
    }
    let (status, plan) = ask(a, "/v1/topology/join?plan=true", "{\"region\":\"c\"}");
    assert_eq!((status, &plan["members"]), (200, &json!(["a", "b", "c"])));
    // The one that is asked for stays the only one until it is carried out.
    let (status, first) = ask(a, join, "{\"region\":\"c\"}");
    assert_eq!((status, &first["waits_for"]), (202, &json!(["a", "b"])));
    let (status, again) = ask(a, join, "{\"region\":\"c\"}");
    assert_eq!((status, &again["id"]), (202, &first["id"]));
    let (status, other) = ask(a, join, "{\"region\":\"d\"}");
    assert_eq!((status, other["code"].as_str()), (409, Some("membership-under-way")));
    assert_eq!(other["must_also_evict"], json!(["c"]));
}
