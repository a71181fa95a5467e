//! What a foreign producer writes into the topics of a region.

/// A record that is none.
pub(crate) struct Poison {
    pub(crate) is_control: bool,
    pub(crate) partition: i32,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Poison {
    pub(crate) fn topic(&self, region: &str) -> String {
        let kind = if self.is_control { "control" } else { "changes" };
        format!("syncline.{kind}.{region}")
    }

    /// Of every kind one; `other` is another region than the one whose topic it stands in.
    pub(crate) fn all(region: &str, other: &str) -> Vec<Self> {
        let change = |of: &str, pk: &str, hlc: &str, context: &str, image: &str| {
            format!(
                "{{\"v\":1,\"event_id\":\"00000000-0000-7000-8000-000000000000\",\"region_id\":\"{of}\",\
                 \"incarnation\":1,\"table_name\":\"notes\",\"row_pk\":\"{pk}\",\"operation\":\"insert\",\
                 \"hlc_timestamp\":\"{hlc}\",\"prev\":\"0.00000\",\
                 \"committed_at\":\"2026-11-20T19:33:32.955Z\",\"context\":{context},\
                 \"before_image\":null,\"after_image\":{image},\"merge_function\":null,\
                 \"schema_version\":1,\"region_tags\":[\"{of}\"]}}"
            )
        };
        let regions = (0..5_000).map(|n| format!("\"r{n}\":\"1.00000\"")).collect::<Vec<_>>();
        let giant = format!("{{{}}}", regions.join(","));
        let nested = format!("{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
        let rows = [
            ("garbage", vec![0, 159, 146, 150, 255]),
            ("empty", Vec::new()),
            ("no record", b"{}".to_vec()),
            ("cut", change(region, "x", "1.00000", "{}", "{}").as_bytes()[..90].to_vec()),
            ("deep", change(region, "x", "1.00000", "{}", &nested).into_bytes()),
            ("giant vector", change(region, "x", "1.00000", &giant, "{}").into_bytes()),
            ("no canonical image", change(region, "x", "1.00000", "{}", "{\"b\": 1}").into_bytes()),
            ("year 2201", change(region, "x", "7289654400000.00000", "{}", "{}").into_bytes()),
            ("another region's", change(other, "x", "1.00000", "{}", "{}").into_bytes()),
            ("large", vec![b'x'; 3 << 20]),
        ];
        let record = |is_control: bool, name: &str, payload: Vec<u8>| Self {
            is_control,
            partition: 0,
            key: name.as_bytes().to_vec(),
            payload,
        };
        let mut all: Vec<Self> =
            rows.into_iter().map(|(name, payload)| record(false, name, payload)).collect();
        all.push(record(true, "garbage", b"{\"v\":1,\"kind\":".to_vec()));
        all
    }
}
