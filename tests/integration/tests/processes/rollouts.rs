//! Versions on their way through the regions: in stages, by command, stopped by their gates.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use syncline_guest_build::manifest::append_section;
use syncline_harness::{Dev, If, PATIENCE, Region, example_function, later_cart, wait_for};
use syncline_integration::{BadGuest, one_outcome_each};

const TABLE: &str = "carts";
const REGIONS: [&str; 3] = ["a", "b", "c"];
/// Two heartbeats.
const A_WHILE: Duration = Duration::from_secs(2);

fn rollout(region: &Region, id: &str) -> Value {
    region.get_json(&format!("/v1/rollouts/{id}")).unwrap()
}

fn wait_until(region: &Region, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, PATIENCE, || {
        let rollout = region.get_json(&format!("/v1/rollouts/{id}"))?;
        anyhow::ensure!(holds(&rollout), "{rollout:#}");
        Ok(rollout)
    })
    .unwrap()
}

fn states(rollout: &Value) -> Vec<&str> {
    REGIONS.map(|name| rollout["regions"][name]["state"].as_str().unwrap_or("?")).to_vec()
}

fn started(region: &Region, function: &[u8], plan: &Value) -> String {
    let answer = region.upload_with(TABLE, function, plan).unwrap();
    let answer = answer.success().unwrap().json();
    answer["rollout_id"].as_str().unwrap().to_owned()
}

fn steer(region: &Region, id: &str, verb: &str, body: &Value) -> (u16, Value) {
    let path = format!("/v1/rollouts/{id}/{verb}");
    let answer = region.request("POST", &path, &[], Some(body.to_string().as_bytes())).unwrap();
    (answer.status, answer.json())
}

/// Writes rows in two regions that do not hear each other, and lets them meet.
fn conflicts(dev: &Dev, rows: Range<u32>) {
    conflicts_of(dev, rows, |item| json!([{"id": item, "qty": 1}]));
}

/// The same, with these items in the carts.
fn conflicts_of(dev: &Dev, rows: Range<u32>, items: impl Fn(&str) -> Value) {
    let [a, b, _] = dev.regions() else { panic!("three regions") };
    a.cut("a", "b").unwrap();
    for row in rows {
        for (region, item) in [(a, "fig"), (b, "kiwi")] {
            let cart = json!({"items": items(item)}).to_string();
            let put = region.put(TABLE, &format!("c-{row}"), &cart, If::Always).unwrap();
            put.success().unwrap();
        }
    }
    a.heal("a", "b").unwrap();
    dev.wait_equal().unwrap();
}

#[test]
fn a_version_goes_from_stage_to_stage_as_it_is_told() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    let plan = json!({"stages": [["b"], ["*"]], "promotion": "manual", "why": "a test"});
    let id = started(a, &example_function("cart").unwrap(), &plan);
    let all_ready = |rollout: &Value| states(rollout) == ["ready"; 3];
    let ready = wait_until(c, &id, "every region to have it", all_ready);
    let digest = &ready["regions"]["a"]["self_test_digest"];
    assert!(digest.as_str().is_some_and(|digest| digest.len() == 64), "{ready:#}");
    assert!(REGIONS.iter().all(|name| ready["regions"][name]["self_test_digest"] == *digest));
    std::thread::sleep(A_WHILE);
    assert_eq!(rollout(c, &id)["state"], "distributing");

    assert_eq!(steer(c, &id, "promote", &json!({"actor": "who", "why": "go"})).0, 200);
    let staged =
        wait_until(a, &id, "stage 1", |rollout| states(rollout) == ["ready", "active", "ready"]);
    assert_eq!((&staged["state"], &staged["stage"]), (&json!("stage"), &json!(1)));
    conflicts(&dev, 0..10);
    assert_eq!(one_outcome_each(dev.regions(), TABLE).unwrap(), 10);

    assert_eq!(steer(b, &id, "pause", &json!({})).1["state"], "paused");
    wait_until(a, &id, "the pause", |rollout| rollout["state"] == "paused");
    assert_eq!(steer(a, &id, "promote", &json!({})).1["code"], "rollout-not-there");
    assert_eq!(steer(a, &id, "resume", &json!({})).0, 200);
    wait_until(b, &id, "the end of the pause", |rollout| rollout["state"] == "stage");
    assert_eq!(steer(b, &id, "promote", &json!({})).0, 200);
    let done = wait_until(c, &id, "the end", |rollout| rollout["state"] == "complete");
    assert_eq!(states(&done), ["active"; 3]);
    assert_eq!(steer(a, &id, "abort", &json!({})).1["code"], "rollout-ended");
    conflicts(&dev, 10..20);
    assert_eq!(one_outcome_each(dev.regions(), TABLE).unwrap(), 20);
    let said: Vec<&Value> = done["history"].as_array().unwrap().iter().collect();
    assert_eq!((&said[0]["what"], &said[0]["why"]), (&json!("created"), &json!("a test")));
    assert!(said.iter().any(|line| line["actor"] == "who" && line["why"] == "go"), "{said:#?}");
}

#[test]
fn every_region_tries_a_version_on_the_cases_that_it_brings() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, _] = dev.regions() else { panic!("three regions") };
    let plain = later_cart("cart-with-total").unwrap();
    let with = |cases: &str| {
        let mut component = plain.clone();
        append_section(&mut component, "syncline:cases", cases.as_bytes());
        component
    };
    let self_test = |component: &[u8]| {
        let id = started(a, component, &json!({"promotion": "manual"}));
        let ready = wait_until(b, &id, "the tests", |rollout| states(rollout) == ["ready"; 3]);
        assert_eq!(steer(b, &id, "abort", &json!({})).0, 200);
        wait_until(a, &id, "the abort", |rollout| rollout["state"] == "aborted");
        let digests = REGIONS.map(|name| ready["regions"][name]["self_test_digest"].clone());
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
        digests[0].as_str().unwrap().to_owned()
    };
    let fig = r#"{"older":{"items":[{"id":"fig","qty":1}]},"newer":{"items":[]}}"#;
    let kiwi = fig.replace("fig", "kiwi");
    let digests = [self_test(&plain), self_test(&with(fig)), self_test(&with(&kiwi))];
    let [none, fig_alone, kiwi_alone] = &digests;
    assert!(none != fig_alone && fig_alone != kiwi_alone && none != kiwi_alone, "{digests:?}");

    let refused = |component: &[u8]| {
        let answer = a.upload_with(TABLE, component, &json!({})).unwrap();
        (answer.status, answer.json())
    };
    let (status, problem) = refused(&with(r#"{"older":1}"#));
    assert_eq!((status, &problem["reason"]), (422, &json!("invalid-cases")), "{problem:#}");
    // A fault on a case of its own speaks against a function.
    let mut traps = BadGuest::Traps.component();
    append_section(&mut traps, "syncline:cases", fig.as_bytes());
    let (status, problem) = refused(&traps);
    assert_eq!((status, &problem["code"]), (422, &json!("verification-failed")), "{problem:#}");
}

#[test]
fn a_table_goes_back_to_the_last_writer() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    let cart = started(a, &example_function("cart").unwrap(), &json!({}));
    wait_until(b, &cart, "the cart", |rollout| rollout["state"] == "complete");
    conflicts(&dev, 0..5);
    let post = |region: &Region, path: &str, body: &Value| {
        region.request("POST", path, &[], Some(body.to_string().as_bytes())).unwrap()
    };
    let back = json!({"table": TABLE, "version": "lww", "stages": [["b"], ["*"]], "bake": "1s"});
    let plan = post(c, "/v1/rollouts?plan=true", &back).success().unwrap().json();
    let version = rollout(a, &cart)["version"].clone();
    assert_eq!((&plan["version"], &plan["replaces"]), (&json!("lww"), &version), "{plan:#}");
    assert!(plan["regions"].as_array().unwrap().iter().all(|region| region["has_it"] == true));
    // The last writer drops what the cart keeps of both sides.
    assert_eq!(
        (&plan["replayed"]["replayed"], &plan["replayed"]["different"]),
        (&json!(5), &json!(5))
    );

    let created = post(c, "/v1/rollouts", &back).success().unwrap().json();
    let id = created["rollout_id"].as_str().unwrap();
    let done = wait_until(a, id, "the way back", |rollout| rollout["state"] == "complete");
    assert_eq!((&done["version"], &done["previous_version"]), (&json!("lww"), &version));
    assert_eq!(states(&done), ["active"; 3]);
    conflicts(&dev, 5..10);
    assert_eq!(one_outcome_each(dev.regions(), TABLE).unwrap(), 10);
    let last = b.conflicts("table=carts&row_pk=c-7").unwrap();
    assert_eq!(last[0]["resolution_strategy"], "lww");
    let tables = a.get_json("/v1/tables/carts").unwrap();
    assert_eq!((&tables["version"], &tables["active"]["c"]), (&json!("lww"), &json!("lww")));

    // What the cart has decided is decided again by the last writer, in one region.
    let again = post(b, &format!("/v1/rollouts/{cart}/remerge"), &json!({}));
    let again = again.success().unwrap().json();
    assert_eq!((&again["to"], again["rows"].as_array().unwrap().len()), (&json!("lww"), 5));
    dev.wait_equal().unwrap();
    let row = c.get(TABLE, "c-2").unwrap().unwrap().image;
    assert_eq!(String::from_utf8(row).unwrap(), r#"{"items":[{"id":"kiwi","qty":1}]}"#);
}

#[test]
fn a_version_that_faults_is_stopped_in_the_shadow() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    a.deploy(TABLE, &example_function("cart").unwrap()).unwrap();
    let gates = json!({"fault_rate": {"limit": 0.01, "min_conflicts": 20}});
    let plan = json!({"shadow": "1h", "gates": gates});
    let id = started(b, &BadGuest::Traps.component(), &plan);
    wait_until(c, &id, "the shadow", |rollout| rollout["state"] == "shadow");
    conflicts(&dev, 0..30);
    let aborted = wait_until(c, &id, "the gate", |rollout| rollout["state"] == "aborted");
    let reason = aborted["reason"].as_str().unwrap();
    assert!(reason.starts_with("fault_rate is 100 % of"), "{reason}");
    assert!(aborted["seen"]["shadow"]["faults"]["trap"].as_u64() >= Some(20), "{aborted:#}");
    let history = aborted["history"].as_array().unwrap();
    assert!(history.iter().all(|line| line["what"] != "active"), "{history:#?}");
    let samples = rollout(a, &id)["samples"].as_array().unwrap().clone();
    assert!(samples[0]["fault"].as_str().unwrap().starts_with("trap"), "{samples:#?}");
    for region in dev.regions() {
        let cart = region.get(TABLE, "c-7").unwrap().unwrap().image;
        assert_eq!(String::from_utf8(cart).unwrap().matches("qty").count(), 2);
    }
}

/// A component with a case that it is right in.
fn with_a_case(name: &str) -> Vec<u8> {
    let mut component = later_cart(name).unwrap();
    let case = r#"{"older":{"items":[{"id":"fig","qty":2}]},"newer":{"items":[{"id":"kiwi","qty":3}]},
        "merged":{"items":[{"id":"fig","qty":2},{"id":"kiwi","qty":3}]}}"#;
    append_section(&mut component, "syncline:cases", case.as_bytes());
    component
}

#[test]
fn a_version_that_is_right_in_its_cases_and_wrong_on_real_rows_is_stopped_in_the_shadow() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    let cart = a.deploy(TABLE, &example_function("cart").unwrap()).unwrap();
    let gates = json!({"shadow_difference_rate": {"limit": 0.2, "min_conflicts": 20}});
    let id =
        started(b, &with_a_case("cart-fails-at-times"), &json!({"shadow": "1h", "gates": gates}));
    wait_until(c, &id, "the shadow", |rollout| rollout["state"] == "shadow");
    // Both sides add the same product: the cart adds them up, the candidate takes the larger one.
    conflicts_of(&dev, 0..30, |_| json!([{"id": "fig", "qty": 3}]));
    let aborted = wait_until(c, &id, "the gate", |rollout| rollout["state"] == "aborted");
    let reason = aborted["reason"].as_str().unwrap();
    assert!(reason.starts_with("shadow_difference_rate is 100 % of"), "{reason}");
    let sample = &rollout(a, &id)["samples"][0]["difference"];
    let quantities =
        ["recorded", "replayed"].map(|end| sample[end]["result"]["items"][0]["qty"].clone());
    assert_eq!(quantities, [json!(6), json!(3)], "{sample:#}");
    let last = c.conflicts("table=carts&row_pk=c-7").unwrap();
    assert_eq!(last[0]["merge_function"], cart.as_str());
}

#[test]
fn a_version_whose_fuel_does_not_suffice_for_large_rows_is_stopped_in_the_shadow() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    a.deploy(TABLE, &example_function("cart").unwrap()).unwrap();
    let gates = json!({"fault_rate": {"limit": 0.01, "min_conflicts": 30}});
    let id =
        started(b, &with_a_case("cart-with-little-fuel"), &json!({"shadow": "1h", "gates": gates}));
    wait_until(c, &id, "the shadow", |rollout| rollout["state"] == "shadow");
    conflicts(&dev, 0..8);
    let seen = rollout(b, &id);
    assert_eq!((&seen["state"], &seen["seen"]["shadow"]["faults"]), (&json!("shadow"), &json!({})));
    let large = |item: &str| {
        (0..400).map(|n| json!({"id": format!("{item}-{n}"), "qty": n})).collect::<Vec<_>>().into()
    };
    conflicts_of(&dev, 8..30, large);
    let aborted = wait_until(c, &id, "the gate", |rollout| rollout["state"] == "aborted");
    assert!(aborted["reason"].as_str().unwrap().starts_with("fault_rate is "), "{aborted:#}");
    assert!(aborted["seen"]["shadow"]["faults"]["out-of-fuel"].as_u64() > Some(0), "{aborted:#}");
    let history = aborted["history"].as_array().unwrap();
    assert!(history.iter().all(|line| line["what"] != "active"), "{history:#?}");
}

#[test]
fn without_a_shadow_it_is_stopped_in_its_first_stage() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    let cart = a.deploy(TABLE, &example_function("cart").unwrap()).unwrap();
    let gates = json!({"fault_rate": 0.01, "min_conflicts": 10});
    let plan = json!({"stages": [["a", "b"], ["*"]], "bake": "1h", "gates": gates});
    let id = started(c, &BadGuest::GivesUp.component(), &plan);
    let first = |rollout: &Value| states(rollout) == ["active", "active", "ready"];
    wait_until(b, &id, "the first stage", first);
    conflicts(&dev, 0..20);
    let aborted = wait_until(b, &id, "all to go back", |rollout| {
        rollout["state"] == "aborted" && states(rollout) == ["ready"; 3]
    });
    assert!(aborted["seen"]["live"]["faults"]["error"].as_u64() >= Some(10), "{aborted:#}");
    assert_eq!(aborted["previous_version"], cart.as_str());
    conflicts(&dev, 20..30);
    assert_eq!(one_outcome_each(dev.regions(), TABLE).unwrap(), 30);
    let last = c.conflicts("table=carts&row_pk=c-25").unwrap();
    assert_eq!(last[0]["merge_function"], cart.as_str());
}

#[test]
fn what_cannot_be_is_refused_and_a_plan_changes_nothing() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, _] = dev.regions() else { panic!("three regions") };
    let cart = example_function("cart").unwrap();
    let refused = |plan: Value| {
        let answer = a.upload_with(TABLE, &cart, &plan).unwrap();
        (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    let plan_refused = (422, "plan-refused".to_owned());
    assert_eq!(refused(json!({"stages": [["nowhere"], ["*"]]})), plan_refused);
    assert_eq!(refused(json!({"stages": [["a"]]})), plan_refused);
    assert_eq!(refused(json!({"stages": [[]]})), plan_refused);
    assert_eq!(refused(json!({"bake": "tomorrow"})), (400, "invalid-request".to_owned()));
    assert_eq!(refused(json!({"table": "carts"})), (400, "invalid-request".to_owned()));
    assert!(a.get_json("/v1/rollouts").unwrap()["items"].as_array().unwrap().is_empty());

    let first = started(a, &cart, &json!({"promotion": "manual"}));
    wait_until(b, &first, "the rollout to arrive", |_| true);
    let other = example_function("first-word").unwrap();
    let second = b.upload_with(TABLE, &other, &json!({})).unwrap();
    assert_eq!((second.status, &second.json()["code"]), (409, &json!("rollout-open")));
    assert_eq!(steer(b, &first, "abort", &json!({"why": "enough"})).1["state"], "aborted");
    assert_eq!(steer(b, &first, "abort", &json!({})).0, 200);
    assert_eq!(steer(b, &first, "explode", &json!({})).0, 404);
    assert_eq!(steer(b, "none", "abort", &json!({})).1["code"], "rollout-not-found");

    wait_until(a, &first, "the abort", |rollout| rollout["state"] == "aborted");
    let version = rollout(a, &first)["version"].clone();
    let again = json!({"table": TABLE, "version": version, "stages": [["c"], ["*"]]});
    let body = again.to_string();
    let planned = a.request("POST", "/v1/rollouts?plan=true", &[], Some(body.as_bytes())).unwrap();
    let planned = planned.success().unwrap().json();
    assert_eq!((&planned["refused"], &planned["regions"][2]["stage"]), (&json!(null), &json!(1)));
    assert_eq!(a.get_json("/v1/rollouts").unwrap()["items"].as_array().unwrap().len(), 1);
    let created = a.request("POST", "/v1/rollouts", &[], Some(body.as_bytes())).unwrap();
    assert_eq!(created.status, 201);
    let id = created.json()["rollout_id"].as_str().unwrap().to_owned();
    wait_until(b, &id, "the second way", |rollout| rollout["state"] == "complete");
}

#[test]
fn what_a_bad_version_has_decided_is_decided_again_by_the_one_before() {
    let dev = Dev::start(&REGIONS).unwrap();
    let [a, b, c] = dev.regions() else { panic!("three regions") };
    let good = a.deploy(TABLE, &example_function("cart").unwrap()).unwrap();
    let bad = started(b, &BadGuest::Traps.component(), &json!({}));
    let active = |rollout: &Value| states(rollout) == ["active"; 3];
    for region in dev.regions() {
        wait_until(region, &bad, "the bad version", active);
    }
    conflicts(&dev, 0..6);
    let remerge = |region: &Region, query: &str| {
        let path = format!("/v1/rollouts/{bad}/remerge{query}");
        let answer = region.request("POST", &path, &[], Some(b"")).unwrap();
        (answer.status, answer.json())
    };
    assert_eq!(remerge(a, "").1["code"], "rollout-not-there");

    let back = json!({"table": TABLE, "version": good}).to_string();
    let back = a.request("POST", "/v1/rollouts", &[], Some(back.as_bytes())).unwrap().json();
    let back = back["rollout_id"].as_str().unwrap();
    for region in dev.regions() {
        wait_until(region, back, "the way back", |rollout| rollout["state"] == "complete");
    }
    // Written since: it stays as it is.
    a.put(TABLE, "c-0", r#"{"items":[]}"#, If::Always).unwrap().success().unwrap();
    let (status, plan) = remerge(a, "?plan=true");
    let rows = plan["rows"].as_array().unwrap().clone();
    assert_eq!((status, rows.len(), &plan["written_since"]), (200, 5, &json!(1)), "{plan:#}");
    assert!(rows.iter().all(|row| row["state"] == "planned"), "{plan:#}");
    let items = |row: &Value| row["items"].as_array().map_or(0, Vec::len);
    assert!(rows.iter().all(|row| items(&row["before"]) == 1 && items(&row["after"]) == 2));
    let (_, done) = remerge(a, "");
    let rows = done["rows"].as_array().unwrap();
    assert!(rows.len() == 5 && rows.iter().all(|row| row["state"] == "written"), "{done:#}");
    dev.wait_equal().unwrap();
    for row in 1..6 {
        let cart = c.get(TABLE, &format!("c-{row}")).unwrap().unwrap().image;
        assert_eq!(String::from_utf8(cart).unwrap().matches("qty").count(), 2);
    }
    assert_eq!(remerge(a, "").1["rows"], json!([]));
}
