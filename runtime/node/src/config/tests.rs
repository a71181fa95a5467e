use super::*;

const GOOD: &str = r#"
[region]
id = "eu-west-1"
data = "data/eu-west-1"
[api]
listen = "127.0.0.1:8080"
auth = "none"
[bus]
kind = "embedded"
partitions = 4
[regions.eu-west-1]
[regions.us-east-1]
[limits]
max_clock_skew = "2s"
"#;

fn parsed(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    environment(variables.iter().map(|(name, value)| (name.into(), value.into())))
        .and_then(|ours| parse(Path::new("conf/region.toml"), text, ours.into_iter()))
        .map_err(|error| error.to_string())
}

#[test]
fn a_good_file_is_taken() {
    let config = parsed(GOOD, &[]).unwrap();
    assert_eq!(config.region.as_str(), "eu-west-1");
    assert_eq!(config.regions.len(), 2);
    assert_eq!(config.data, Path::new("conf/data/eu-west-1"));
    assert_eq!(config.partitions.get(), 4);
    assert_eq!(config.limits.max_clock_skew.0, Duration::from_secs(2));
    assert_eq!(config.engine, Engine::Sled);
}

#[test]
fn the_engine_of_the_store_is_chosen() {
    for (name, engine) in [("sled", Engine::Sled), ("fjall", Engine::Fjall)] {
        let text = format!("{GOOD}[store]\nengine = \"{name}\"\n");
        assert_eq!(parsed(&text, &[]).unwrap().engine, engine);
        assert_eq!(parsed(GOOD, &[("SYNCLINE_STORE__ENGINE", name)]).unwrap().engine, engine);
    }
    let error = parsed(&format!("{GOOD}[store]\nengine = \"rocks\"\n"), &[]).unwrap_err();
    assert!(error.contains("line 16") && error.contains("unknown variant"), "{error}");
}

#[test]
fn the_environment_comes_last() {
    let config = parsed(
        GOOD,
        &[
            ("SYNCLINE_API__LISTEN", "127.0.0.1:9"),
            ("SYNCLINE_BUS__PARTITIONS", "16"),
            ("SYNCLINE_URL", "http://elsewhere"),
            ("PATH", "x"),
        ],
    );
    let config = config.unwrap();
    assert_eq!((config.listen.port(), config.partitions.get()), (9, 16));
    let error = parsed(GOOD, &[("SYNCLINE_BUS__PARTITIONS", "many")]).unwrap_err();
    assert!(error.contains("SYNCLINE_BUS__PARTITIONS"), "{error}");
    let error = parsed(GOOD, &[("SYNCLINE_API__PORT", "1")]).unwrap_err();
    assert!(error.contains("SYNCLINE_API__PORT") && error.contains("port"), "{error}");
}

#[test]
fn a_variable_that_is_no_text_harms_only_where_it_is_ours() {
    use std::os::unix::ffi::OsStringExt as _;
    let no_text = || OsString::from_vec(vec![b'x', 0xff]);
    let with = |name: &str, value: OsString| environment([(name.into(), value)].into_iter());
    let foreign = [(no_text(), no_text()), ("PATH".into(), no_text())];
    assert!(environment(foreign.into_iter()).unwrap().is_empty());
    assert!(with("SYNCLINE_TOKEN", no_text()).unwrap().is_empty());
    assert!(with("SYNCLINE_LOG", no_text()).unwrap().is_empty());
    let ours = with("SYNCLINE_API__LISTEN", "127.0.0.1:9".into()).unwrap();
    assert_eq!(ours, [("SYNCLINE_API__LISTEN".to_owned(), "127.0.0.1:9".to_owned())]);
    let error = with("SYNCLINE_API__LISTEN", no_text()).unwrap_err().to_string();
    assert!(error.contains("SYNCLINE_API__LISTEN: its value is not UTF-8"), "{error}");
}

#[test]
fn limits_at_which_nothing_can_be_done_are_refused_with_their_line() {
    let skew = "max_clock_skew = \"2s\"";
    for (set, reason) in [
        ("queue = 0", "queue is 0: it must be 1 or more"),
        ("queue = 100001", "100000 or less"),
        ("unconfirmed_changes = 0", "1 or more"),
        ("waiting_changes = 0", "1 or more"),
    ] {
        let error = parsed(&GOOD.replace(skew, set), &[]).unwrap_err();
        assert!(error.contains("line 14") && error.contains(reason), "{set}: {error}");
    }
    assert!(parsed(&GOOD.replace(skew, "queue = 1"), &[]).is_ok());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (from, to, line, reason) in [
        ("auth = \"none\"", "auht = \"none\"", "line 7", "auht"),
        ("partitions = 4", "partitions = 0", "line 10", "1 to 1,024"),
        ("partitions = 4", "partitions = \"4\"", "line 10", "invalid type"),
        ("id = \"eu-west-1\"", "id = \"eu west\"", "line 3", "a region is"),
        ("id = \"eu-west-1\"", "id = \"eu-west-2\"", "line 3", "[regions.eu-west-2]"),
        ("127.0.0.1:8080", "0.0.0.0:8080", "line 7", "loopback only"),
        ("auth = \"none\"", "auth = \"tokens\"", "line 7", "no tokens yet"),
        ("kind = \"embedded\"", "kind = \"kafka\"", "line 11", "bootstrap_servers"),
        ("kind = \"embedded\"\n", "", "line 8", "needs kind"),
        ("kind = \"embedded\"", "kind = \"embedded\"\nreplicas = 3", "line 10", "kafka"),
        ("kind = \"embedded\"", "kind = \"carrier-pigeon\"", "line 9", "unknown variant"),
        ("\"2s\"", "\"soon\"", "line 14", "500ms"),
        ("data = \"data/eu-west-1\"\n", "", "line 2", "needs data"),
        ("[limits]", "[limits", "line 13", ""),
        ("[regions.us-east-1]", "[regions.\"us east\"]", "line", "a region is"),
    ] {
        let error = parsed(&GOOD.replace(from, to), &[]).unwrap_err();
        assert!(error.contains(line) && error.contains(reason), "{to}: {error}");
    }
}

#[test]
fn a_region_that_joins_names_whom_it_takes_its_data_over_from() {
    let own = "id = \"eu-west-1\"";
    let with = |keys: &str, joins: &str| {
        let text = GOOD.replace(own, &format!("{own}\n{keys}"));
        text.replace("[regions.eu-west-1]", &format!("[regions.eu-west-1]\n{joins}"))
    };
    let from = |name: &str| format!("join_from = \"{name}\"");
    let config = parsed(&with(&from("us-east-1#3"), "joins = true"), &[]).unwrap();
    assert_eq!(config.join_from.unwrap().as_str(), "us-east-1#3");
    assert_eq!((config.regions.len(), config.founders.len()), (2, 1));
    let again = format!("incarnation = 2\n{}", from("us-east-1"));
    let config = parsed(&with(&again, ""), &[]).unwrap();
    assert_eq!(config.region.as_str(), "eu-west-1#2");
    assert_eq!(config.founders.len(), 2);
    for (keys, joins, reason) in [
        ("incarnation = 2", "", "join_from = \"us-east-1\""),
        ("", "joins = true", "join_from = \"us-east-1\""),
        (&*from("us-east-1"), "", "does not join"),
        (&*from("eu-west-1"), "joins = true", "from itself"),
        (&*from("mars"), "joins = true", "[regions.mars]"),
    ] {
        let error = parsed(&with(keys, joins), &[]).unwrap_err();
        assert!(error.contains(reason), "{keys} {joins}: {error}");
    }
    let named_so = GOOD.replace("[regions.us-east-1]", "[regions.\"us-east-1#2\"]");
    assert!(parsed(&named_so, &[]).unwrap_err().contains("in every incarnation"));
}

#[test]
fn durations_are_read_as_people_write_them() {
    let read = |text: &str| HumanDuration::try_from(text.to_owned()).map(|d| d.0.as_millis());
    assert_eq!(read("500ms"), Ok(500));
    assert_eq!((read("10s"), read("5m"), read("1h")), (Ok(10_000), Ok(300_000), Ok(3_600_000)));
    for bad in ["", "5", "ms", "-1s", "1.5s", "1d", "99999999999999999999s"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

const KAFKA: &str = r#"
[region]
id = "eu"
data = "data"
[api]
listen = "127.0.0.1:8080"
auth = "none"
[bus]
kind = "kafka"
retention = "24h"
replicas = 3
[regions.eu]
bootstrap_servers = "127.0.0.1:19092"
[regions.us]
bootstrap_servers = "us-1:9092,us-2:9092"
[regions.us.security]
security.protocol = "sasl_plaintext"
sasl.mechanisms = "PLAIN"
sasl.username = "syncline"
"#;

fn kafka(config: Config) -> syncline_bus::KafkaOptions {
    match config.bus {
        BusConfig::Kafka(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clusters_are_read_with_their_security() {
    let options = kafka(parsed(KAFKA, &[]).unwrap());
    assert_eq!(options.partitions.get(), 8);
    assert_eq!(options.topics.retention, Duration::from_secs(24 * 3600));
    assert_eq!((options.topics.replicas, options.topics.min_insync_replicas), (Some(3), None));
    assert_eq!(options.clusters["eu"].bootstrap_servers, "127.0.0.1:19092");
    assert!(options.clusters["eu"].security.is_empty());
    let us = &options.clusters["us"];
    assert_eq!(us.security["security.protocol"], "sasl_plaintext");
    assert_eq!(us.security["sasl.username"], "syncline");
    let moved = parsed(KAFKA, &[("SYNCLINE_REGIONS__EU__BOOTSTRAP_SERVERS", "elsewhere:1")]);
    assert_eq!(kafka(moved.unwrap()).clusters["eu"].bootstrap_servers, "elsewhere:1");
}

#[test]
fn a_topic_keeps_its_records_for_an_hour_or_longer() {
    let kept = |retention: &str| parsed(&KAFKA.replace("\"24h\"", retention), &[]).map(kafka);
    assert_eq!(kept("\"60m\"").unwrap().topics.retention, Duration::from_secs(3600));
    for short in ["\"0s\"", "\"59m\""] {
        let error = kept(short).unwrap_err();
        assert!(error.contains("line 10") && error.contains("below 1h"), "{short}: {error}");
    }
}

#[test]
fn secrets_come_from_files_or_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    let read = |line: &str| {
        let text = format!("{KAFKA}{line}\n");
        parse(&folder.path().join("region.toml"), &text, std::iter::empty())
    };
    let options = kafka(read("sasl.password_file = \"secret\"").unwrap());
    assert_eq!(options.clusters["us"].security["sasl.password"], "hunter2");
    assert!(!format!("{options:?}").contains("hunter2"));
    let options = kafka(read("sasl.password_env = \"CARGO_PKG_NAME\"").unwrap());
    assert_eq!(options.clusters["us"].security["sasl.password"], "syncline-node");
    for (line, reason) in [
        ("sasl.password = \"hunter2\"", "sasl.password_file"),
        ("sasl.password_file = \"nowhere\"", "nowhere"),
        ("sasl.password_env = \"SYNCLINE_NOT_SET\"", "SYNCLINE_NOT_SET"),
        ("sasl.username = [1]", "duplicate key"),
        ("sasl.other = [1]", "sasl.other is neither"),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("hunter2\""), "{line}: {error}");
    }
}

#[test]
fn a_region_may_be_heard_through_another_one() {
    let kafka = GOOD.replace("\"embedded\"", "\"kafka\"");
    let kafka = kafka.replace(
        "[regions.eu-west-1]\n[regions.us-east-1]\n",
        "[regions.eu-west-1]\nbootstrap_servers = \"h:1\"\n[regions.hub]\n\
         bootstrap_servers = \"h:2\"\n[regions.us-east-1]\nvia = \"hub\"\n",
    );
    let config = parsed(&kafka, &[("SYNCLINE_REGION__FORWARDS", "true")]).unwrap();
    let far = "us-east-1".parse().unwrap();
    assert_eq!(config.routes.via(&far), Some("hub"));
    assert!(config.routes.forwards() && !parsed(&kafka, &[]).unwrap().routes.forwards());
    let BusConfig::Kafka(options) = config.bus else { panic!("{:?}", config.bus) };
    let clusters: Vec<&str> = options.clusters.keys().map(String::as_str).collect();
    assert_eq!(clusters, ["eu-west-1", "hub"]);
}

#[test]
fn a_way_that_leads_nowhere_is_refused_at_its_line() {
    for (sections, line, reason) in [
        ("[regions.us-east-1]\nvia = \"hub\"\n", 13, "there is no section [regions.hub]"),
        ("[regions.us-east-1]\nvia = \"us-east-1\"\n", 13, "through another region than itself"),
        ("[regions.us-east-1]\nvia = \"eu-west-1\"\n", 13, "than itself and this one"),
        (
            "[regions.us-east-1]\nvia = \"b\"\n[regions.b]\nvia = \"us-east-1\"\n",
            15,
            "us-east-1 is itself heard through b",
        ),
    ] {
        let text = GOOD.replace("[regions.us-east-1]\n", sections);
        let error = parsed(&text, &[]).unwrap_err();
        assert!(error.contains(reason) && error.contains(&format!("line {line}")), "{error}");
    }
    for key in ["via = \"us-east-1\"", "forwards = true"] {
        let text = GOOD.replace("[regions.eu-west-1]\n", &format!("[regions.eu-west-1]\n{key}\n"));
        let error = parsed(&text, &[]).unwrap_err();
        assert!(error.contains("line 12") && error.contains("is this region"), "{error}");
    }
}

#[test]
fn a_region_may_have_tags() {
    let tagged = |tags: &str| GOOD.replace("[region]\n", &format!("[region]\ntags = {tags}\n"));
    let tags = parsed(&tagged("[\"emea\", \"prod\"]"), &[]).unwrap().tags;
    assert_eq!(tags, ["emea", "prod"].map(|tag| tag.parse().unwrap()));
    let many = format!("{:?}", (0..17).map(|n| format!("t{n}")).collect::<Vec<_>>());
    for (tags, reason) in [
        ("[\"em ea\"]", "em ea"),
        ("[\"a#2\"]", "incarnation"),
        ("[\"a\", \"a\"]", "twice"),
        (&many, "17 tags, the limit is 16"),
    ] {
        let error = parsed(&tagged(tags), &[]).unwrap_err();
        assert!(error.contains(reason) && error.contains("line 3"), "{error}");
    }
}

const TWO_NODES: &str = r#"
[region]
id = "eu"
data = "data"
node = "b"
[api]
listen = "127.0.0.1:8081"
auth = "none"
[bus]
kind = "kafka"
partitions = 8
[regions.eu]
bootstrap_servers = "127.0.0.1:19092"
[nodes.a]
url = "http://127.0.0.1:8080/"
partitions = "0-3, 6"
[nodes.b]
url = "http://127.0.0.1:8081"
partitions = "4,5,7"
"#;

#[test]
fn nodes_share_the_partitions() {
    let config = parsed(TWO_NODES, &[]).unwrap();
    let nodes = config.nodes.clone().unwrap();
    assert_eq!((nodes.me(), nodes.lead(), nodes.place()), ("b", "a", 1));
    assert_eq!(ranges(&nodes.own()), "4-5,7");
    assert_eq!([0, 4, 6, 7].map(|partition| nodes.owner_of(partition)), ["a", "b", "a", "b"]);
    assert_eq!(nodes.all()["a"].url, "http://127.0.0.1:8080");
    assert_eq!(nodes.others().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    let said = summary(Path::new("region.toml"), &config);
    assert!(
        said.contains("node b of 2 with the partitions 4-5,7, led by a, of region eu"),
        "{said}"
    );
    let of_a = [("SYNCLINE_REGION__NODE", "a"), ("SYNCLINE_API__LISTEN", "127.0.0.1:8080")];
    let other = parsed(TWO_NODES, &of_a).unwrap().nodes.unwrap();
    assert_eq!((other.me(), other.place(), other.claims()), ("a", 0, nodes.claims()));
}

#[test]
fn a_node_listens_where_the_others_look_for_it() {
    let urls = ["http://127.0.0.1:8081", "http://localhost:8081/", "http://[::1]:8081"];
    for url in urls.into_iter().chain(["http://node-b.internal:9000", "http://10.1.2.3"]) {
        parsed(&TWO_NODES.replace("http://127.0.0.1:8081", url), &[]).unwrap();
    }
    for url in ["http://127.0.0.1:8082", "http://localhost", "http://[::1]", "http://[::1]:9"] {
        let error = parsed(&TWO_NODES.replace("http://127.0.0.1:8081", url), &[]).unwrap_err();
        assert!(
            error.contains("line 18") && error.contains("listens on 127.0.0.1:8081"),
            "{error}"
        );
    }
    parsed(TWO_NODES, &[("SYNCLINE_API__LISTEN", "127.0.0.1:0")]).unwrap();
}

#[test]
fn a_node_may_be_named_by_a_number() {
    let text = TWO_NODES.replace("[nodes.b]", "[nodes.0]").replace("\"0-3, 6\"", "\"0-3,6,7\"");
    let text = text.replace("\"4,5,7\"", "\"4,5\"");
    let named = parsed(&text, &[("SYNCLINE_REGION__NODE", "0")]).unwrap().nodes.unwrap();
    assert_eq!(named.me(), "0");
    let one = text.replace("\"4,5\"", "\"0-7\"").replace("\"0-3,6,7\"", "\"5\"");
    let shared = [("SYNCLINE_REGION__NODE", "0"), ("SYNCLINE_NODES__0__PARTITIONS", "4")];
    let error = parsed(&one, &shared).unwrap_err();
    assert!(error.contains("no node has the partitions 0-3,6-7"), "{error}");
    let error = parsed(TWO_NODES, &[("SYNCLINE_LIMITS__START_WAIT", "7")]).unwrap_err();
    assert!(error.contains("a duration is written as"), "{error}");
    let error = parsed(TWO_NODES, &[("SYNCLINE_BUS__PARTITIONS", "true")]).unwrap_err();
    assert!(error.contains("expected"), "{error}");
}

#[test]
fn nodes_that_do_not_fit_are_refused_with_their_line() {
    let cases = [
        ("\"4,5,7\"", "\"3-5,7\"", "line 19: partition 3 is that of node a already"),
        ("\"4,5,7\"", "\"4,5\"", "line 19: no node has the partitions 7"),
        ("\"4,5,7\"", "\"4-8\"", "line 19: there is no partition 8"),
        ("\"4,5,7\"", "\"4,4\"", "line 19: partition 4 stands there twice"),
        ("\"4,5,7\"", "\"5-4\"", "line 19: partitions are written as"),
        ("\"4,5,7\"", "\"\"", "line 19: partitions are written as"),
        ("node = \"b\"", "node = \"c\"", "line 5: there is no section [nodes.c]"),
        ("node = \"b\"", "", "line 2: the region has several nodes"),
        ("8081\"\npartitions", "8080\"\npartitions", "line 18: it is the url of node a"),
        ("url = \"http://127.0.0.1:8081\"", "", "line 17: it needs url"),
        ("http://127.0.0.1:8080/", "https://127.0.0.1:8080", "line 15: it is http://"),
        ("[nodes.b]", "[nodes.\"b b\"]", "there is no section [nodes.b]"),
        ("node = \"b\"", "node = \"b\"\nforwards = true", "line 6: a region of several nodes"),
        ("kind = \"kafka\"", "kind = \"embedded\"", "line 10: the nodes of a region need"),
    ];
    for (from, to, expected) in cases {
        let text = TWO_NODES.replacen(from, to, 1);
        assert_ne!(text, TWO_NODES);
        let error = parsed(&text, &[]).unwrap_err();
        assert!(error.contains(expected), "{to}: {error}");
    }
    let joins = TWO_NODES.replace(
        "[regions.eu]",
        "[regions.us]\nbootstrap_servers = \"127.0.0.1:1\"\n[regions.eu]\njoins = true",
    );
    let joins = joins.replace("node = \"b\"", "node = \"b\"\njoin_from = \"us\"");
    let error = parsed(&joins, &[]).unwrap_err();
    assert!(error.contains("cannot take its data over"), "{error}");
    let error = parsed(&GOOD.replace("[api]", "node = \"a\"\n[api]"), &[]).unwrap_err();
    assert!(error.contains("no section [nodes.a]"), "{error}");
    let many: String = (0..17)
        .map(|n| format!("[nodes.n{n}]\nurl = \"http://h:{n}\"\npartitions = \"{n}\"\n"))
        .collect();
    let many = format!("{GOOD}{many}").replace("[api]", "node = \"n1\"\n[api]");
    let many = many.replace("partitions = 4", "partitions = 17");
    let error = parsed(&many, &[]).unwrap_err();
    assert!(error.contains("17 nodes, the limit is 16"), "{error}");
}
