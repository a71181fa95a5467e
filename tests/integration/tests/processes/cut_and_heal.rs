//! The main thing, by HTTP only: upload, conflicting writes with the link cut, heal, same bytes.

use serde_json::json;
use syncline_harness::{Dev, If, PATIENCE, example_function, wait_for};

const TABLE: &str = "carts";
const ROW: &str = "c-17";

fn cart(fig: u64) -> String {
    json!({"items": [{"id": "fig", "qty": fig}]}).to_string()
}

#[test]
fn conflicting_writes_end_as_the_same_bytes_and_one_conflict() {
    let dev = Dev::start(&["us-east-1", "eu-west-1"]).unwrap();
    let [us, eu] = dev.regions() else { panic!("two regions") };
    let version = eu.deploy(TABLE, &example_function("cart").unwrap()).unwrap();

    us.put(TABLE, ROW, &cart(1), If::Absent).unwrap().success().unwrap();
    let arrived = wait_for("the row to arrive", PATIENCE, || {
        eu.get(TABLE, ROW)?.ok_or_else(|| anyhow::anyhow!("it is not there"))
    });
    let before = arrived.unwrap();
    assert_eq!(before.image, cart(1).as_bytes());
    assert_eq!(us.get(TABLE, ROW).unwrap().unwrap(), before);

    us.cut("us-east-1", "eu-west-1").unwrap();
    for (region, fig) in [(us, 3), (eu, 2)] {
        let put = region.put(TABLE, ROW, &cart(fig), If::Match(&before.etag)).unwrap();
        assert_eq!(put.success().unwrap().status, 200);
        assert_eq!(region.get(TABLE, ROW).unwrap().unwrap().image, cart(fig).as_bytes());
    }
    eu.heal("us-east-1", "eu-west-1").unwrap();

    dev.wait_equal().unwrap();
    let rows = [us, eu].map(|region| region.get(TABLE, ROW).unwrap().unwrap());
    assert_eq!(rows[0], rows[1]);
    assert_eq!(rows[0].image, cart(4).as_bytes());

    let logs = [us, eu].map(|region| region.conflicts("table=carts&row_pk=c-17").unwrap());
    assert_eq!((logs[0].len(), logs[1].len()), (1, 1), "{logs:?}");
    let id = logs[0][0]["conflict_id"].as_str().unwrap();
    assert_eq!(logs[1][0]["conflict_id"], id);
    for region in [us, eu] {
        let conflict = region.conflict(id).unwrap();
        assert_eq!(conflict["outcome"], "merged");
        assert_eq!(conflict["resolution_strategy"], "merge-function");
        assert_eq!(conflict["merge_function"], version.as_str());
        assert_eq!(conflict["ancestor"].to_string(), cart(1));
        assert_eq!(conflict["result"].to_string(), cart(4));
        assert_eq!(conflict["sides"].as_array().unwrap().len(), 2);
    }
    assert_eq!(syncline_integration::one_outcome_each(dev.regions(), TABLE).unwrap(), 1);
}

#[test]
fn the_same_upload_again_changes_nothing() {
    let dev = Dev::start(&["a", "b"]).unwrap();
    let function = example_function("first-word").unwrap();
    let version = dev.regions()[0].deploy(TABLE, &function).unwrap();
    let again = dev.regions()[1].upload(TABLE, &function).unwrap();
    assert_eq!((again.status, again.json()["version"].as_str()), (200, Some(version.as_str())));
    for region in dev.regions() {
        let functions = region.functions().unwrap();
        assert_eq!(functions.len(), 1, "{functions:?}");
        assert_eq!(functions[0]["tables"][0]["active_in"], json!(["a", "b"]));
    }
}
