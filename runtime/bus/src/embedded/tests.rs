use super::*;
use crate::conformance;

#[test]
fn conforms() {
    let mut dirs = Vec::new();
    conformance::check(|| {
        let dir = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(dir.path(), PartitionCount::new(2).unwrap()).unwrap();
        dirs.push(dir);
        bus
    });
}
