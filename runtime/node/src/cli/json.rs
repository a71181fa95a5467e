//! Rows in JSON, shown to people. Numbers stay as they are written, so a row is never read into
//! numbers of the machine here.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A value that fits on what is left of a line of this many characters stays on it.
const LINE_CHARS_MAX: usize = 88;

/// A row with line breaks where it is too long for one line, each line indented.
pub(super) fn shown(row: Option<&RawValue>, indent: usize) -> String {
    let text = row.map_or_else(|| "(no row)".to_owned(), |row| broken(row.get(), indent));
    format!("{}{text}\n", " ".repeat(indent))
}

/// `text` starts at the column `indent` of a line that exists already.
fn broken(text: &str, indent: usize) -> String {
    if text.chars().count() + indent <= LINE_CHARS_MAX {
        return text.to_owned();
    }
    let inner = " ".repeat(indent + 2);
    let outer = " ".repeat(indent);
    if let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(text) {
        let lines: Vec<String> = values
            .iter()
            .map(|value| format!("{inner}{}", broken(value.get(), indent + 2)))
            .collect();
        return format!("[\n{}\n{outer}]", lines.join(",\n"));
    }
    // The order of a canonical object is that of its keys' bytes, which is that of the map.
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        let member = |(key, value): (&String, &&RawValue)| {
            let key = serde_json::Value::from(key.as_str());
            format!("{inner}{key}: {}", broken(value.get(), indent + 2))
        };
        let lines: Vec<String> = members.iter().map(member).collect();
        return format!("{{\n{}\n{outer}}}", lines.join(",\n"));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_short_row_stays_on_its_line_and_numbers_stay_as_written() {
        let row = r#"{"a":1.50,"b":18446744073709551617}"#;
        assert_eq!(shown(Some(&raw(row)), 2), format!("  {row}\n"));
        assert_eq!(shown(None, 2), "  (no row)\n");
    }

    #[test]
    fn a_long_row_is_broken_where_it_must_be() {
        let item = |id: &str| format!(r#"{{"id":"{id}","qty":1.0}}"#);
        let long = format!(
            r#"{{"a\"b":[],"items":[{},{}],"note":"x"}}"#,
            item(&"fig".repeat(10)),
            item(&"kiwi".repeat(8))
        );
        insta::assert_snapshot!(shown(Some(&raw(&long)), 2), @r#"
          {
            "a\"b": [],
            "items": [
              {"id":"figfigfigfigfigfigfigfigfigfig","qty":1.0},
              {"id":"kiwikiwikiwikiwikiwikiwikiwikiwi","qty":1.0}
            ],
            "note": "x"
          }
        "#);
    }
}
