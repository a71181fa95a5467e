//! Tables and their versions: what is in force, what is retired, what is deleted and comes back.

use serde_json::{Value, json};
use syncline_harness::{Dev, If, PATIENCE, Region, example_function, wait_for};
use syncline_integration::{BadGuest, run_cli};

const TABLE: &str = "carts";
const REGIONS: [&str; 3] = ["a", "b", "c"];

fn ask(region: &Region, version: &str, verb: &str) -> (u16, Value) {
    let path = format!("/v1/merge-functions/{version}/{verb}");
    let body = json!({"actor": "ann", "why": "a test"}).to_string();
    let answer = region.request("POST", &path, &[], Some(body.as_bytes())).unwrap();
    (answer.status, answer.json())
}

fn roll_out(region: &Region, version: &str) -> (u16, Value) {
    let body = json!({"table": TABLE, "version": version}).to_string();
    let answer = region.request("POST", "/v1/rollouts", &[], Some(body.as_bytes())).unwrap();
    (answer.status, answer.json())
}

fn wait_for_state(region: &Region, version: &str, state: &str) -> Value {
    wait_for(state, PATIENCE, || {
        let function = region.get_json(&format!("/v1/merge-functions/{version}"))?;
        anyhow::ensure!(function["state"] == state, "{function:#}");
        Ok(function)
    })
    .unwrap()
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[test]
fn a_table_says_what_it_had_and_a_version_goes_when_nobody_needs_it() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    a.put("plain", "p-1", "{}", If::Always).unwrap().success().unwrap();
    let cart = example_function("cart").unwrap();
    let first = a.deploy(TABLE, &cart).unwrap();
    a.put(TABLE, "c-1", r#"{"items":[]}"#, If::Always).unwrap().success().unwrap();
    let second = b.deploy(TABLE, &BadGuest::Traps.component()).unwrap();
    dev.wait_equal().unwrap();

    // The registry is the same in every region.
    for region in dev.regions() {
        let table = wait_for("every region to use it", PATIENCE, || {
            let table = region.get_json("/v1/tables/carts")?;
            let uses = |name: &&str| table["active"][*name] == second.as_str();
            let in_force = table["version"] == second.as_str();
            anyhow::ensure!(in_force && REGIONS.iter().all(uses), "{table:#}");
            Ok(table)
        })
        .unwrap();
        assert_eq!(table["rows"], json!(1));
        let history = region.get_json("/v1/tables/carts/history").unwrap();
        let lines = history["items"].as_array().unwrap().clone();
        assert_eq!(lines[0]["previous_version"], json!(first), "{history:#}");
        assert_eq!((&lines[0]["in_force"], &lines[1]["in_force"]), (&json!(true), &json!(false)));
        let tables = region.get_json("/v1/tables").unwrap()["items"].as_array().unwrap().clone();
        let plain = tables.iter().find(|table| table["table"] == "plain").unwrap();
        assert_eq!((&plain["version"], &plain["active"]["a"]), (&json!("lww"), &json!("lww")));
    }
    let unknown = a.request("GET", "/v1/tables/unknown", &[], None).unwrap();
    assert_eq!(code(&(unknown.status, unknown.json())), (404, "table-not-found"));

    // What is in force stays; what is retired is rolled out no more, until that is taken back.
    assert_eq!(code(&ask(a, &second, "retire")), (409, "version-in-use"));
    assert_eq!(code(&ask(a, &second, "delete")), (409, "version-in-use"));
    assert_eq!(ask(c, &first, "retire").1["state"], "retired");
    assert_eq!(code(&roll_out(c, &first)), (409, "version-retired"));
    assert_eq!(ask(c, &first, "reinstate").1["state"], "kept");

    // What is deleted goes in every region once nothing there can need it, and stays known.
    let file = tempfile::tempdir().unwrap();
    let copy = file.path().join("cart.wasm");
    let copy_name = copy.to_str().unwrap();
    let ran =
        run_cli(&a.url, &["function", "download", &first[7..19], "-o", copy_name], "").unwrap();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(std::fs::read(&copy).unwrap(), cart);
    assert_eq!(ask(c, &first, "delete").0, 202);
    for region in dev.regions() {
        let function = wait_for_state(region, &first, "deleted");
        assert_eq!(function["history"][2]["actor"], "ann", "{function:#}");
        let path = format!("/v1/merge-functions/{first}/component");
        assert_eq!(region.request("GET", &path, &[], None).unwrap().status, 404);
    }
    assert_eq!(code(&roll_out(b, &first)), (409, "version-deleted"));

    // An upload brings it back, everywhere.
    assert_eq!(b.deploy(TABLE, &cart).unwrap(), first);
    for region in dev.regions() {
        wait_for_state(region, &first, "kept");
    }
}
