//! The JSON Schema of files of cases, for editors: `conf/frontgate-test.schema.json` is a copy of it.

use super::model::Suite;

/// The schema.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(Suite).to_value()
}

#[cfg(test)]
mod tests {

    #[test]
    fn the_committed_schema_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/frontgate-test.schema.json");
        let text = serde_json::to_string_pretty(&super::schema()).expect("a schema is JSON") + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).expect("the schema can be written");
        }

        let committed = std::fs::read_to_string(path).expect("the schema is committed");

        assert!(committed == text, "conf/frontgate-test.schema.json has drifted: run the tests with UPDATE_GOLDEN=1");
    }
}
