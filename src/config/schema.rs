//! The JSON Schema of the configuration, for editors: `conf/frontgate.schema.json` is a copy of it.

use super::model::Config;

/// The schema as it is committed, with a line break at its end.
pub fn json() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Config)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/frontgate.schema.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, super::json()).expect("the schema can be written");
        }

        let committed = std::fs::read_to_string(path).expect("the schema is committed");

        assert!(committed == super::json(), "conf/frontgate.schema.json has drifted: run the tests with UPDATE_GOLDEN=1");
    }
}
