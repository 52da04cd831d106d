//! Endpoints that were found under names.

use super::*;
use crate::config::model::Endpoint as Written;

#[test]
fn over_tls_an_endpoint_under_another_name_is_spoken_to_over_other_connections() {
    let named = |text: &str| {
        let written: Written = serde_json::from_value(text.into()).expect("an endpoint");
        vec![Found::at("10.0.0.1:80".parse().expect("an address"), written.address.name().cloned(), &written)]
    };
    let pick = |pool: &Arc<Pool>| pool.choose(None, None, &[], Instant::now()).expect("an endpoint");
    for (tls, own_host) in [(Tls::of_host("shop.internal"), Some("a.internal:80")), (None, None)] {
        let is_tls = tls.is_some();
        let pool = Arc::new(Pool::new("shop", &config(json!({"endpoints": []})), tls, &Metrics::new(), None));
        pool.change(&named("a.internal:80"), Instant::now());
        let first = pick(&pool);
        assert_eq!(first.endpoint().own_host(), own_host, "in clear text the client's passes");

        pool.change(&named("b.internal:80"), Instant::now());

        let second = pick(&pool);
        assert_eq!(first.endpoint().id(), second.endpoint().id(), "it is the same endpoint");
        assert_eq!(first.endpoint().connections() == second.endpoint().connections(), !is_tls);
    }
}
