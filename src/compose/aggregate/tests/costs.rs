//! What an aggregate costs beside its calls.

use bytes::Bytes;

use super::table::{Said, Table, ask, get, of};

#[tokio::test]
async fn an_answer_that_goes_on_as_it_came_is_copied_once() {
    let page = of("/p", "calls:\n  a: {upstream: a, get: /a}\n  b: {upstream: a, get: /b}\nanswer: \"{a}\"");
    let chunk = Bytes::from(format!("\"{}\"", "x".repeat(100_000)));
    let place = chunk.as_ptr() as usize;
    let table = Table::new(move |_| Said::Answer(200, Vec::new(), vec![chunk.clone()]));

    let came = ask(&page, &get("/p"), &table).await;

    let frontgate_filters::reply::ReplyBody::Bytes(body) = &came.reply.body else { panic!("bytes") };
    assert_eq!(body.as_ptr() as usize, place, "one slice is not copied at all");
}
