//! Answers of the gateway's own on their way out.

use bytes::Bytes;
use frontgate_filters::filter::Flow;
use frontgate_filters::reply::Reply;
use http::{HeaderValue, Method};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Ctx, Proxy, failure};

impl Proxy {
    /// An answer of the gateway's own passes the response halves outside of the filter that made it, as any other answer does.
    fn through_halves(&self, session: &Session, ctx: &mut Ctx, head: &mut ResponseHeader, body: Bytes) -> Bytes {
        if ctx.exchange.is_empty() {
            return body;
        }
        let method = &session.req_header().method;
        let exchange = &mut ctx.exchange;
        let whole = body.clone();
        let passed = failure::caught(|| {
            exchange.head(method, head);
            let mut body = Some(body);
            match exchange.body(&mut body, true) {
                Flow::Go => body.unwrap_or_default(),
                Flow::Abort => Bytes::new(),
            }
        });
        let Ok(passed) = passed else {
            log::error!("a filter panicked while it processed an answer of the gateway's own");
            return whole;
        };
        if !passed.is_empty() && passed.len() != whole.len()
            || !head.headers.contains_key(http::header::CONTENT_LENGTH) && !whole.is_empty()
        {
            head.insert_header("Content-Length", HeaderValue::from(passed.len())).expect("a known name and a number");
        }
        passed
    }

    /// Sends an answer of the gateway's own, marked by the route's filters.
    pub(super) async fn answer(&self, session: &mut Session, ctx: &mut Ctx, reply: &Reply) -> Result<()> {
        let snapshot = ctx.snapshot.clone();
        ctx.reason = reply.code();
        let (mut head, body) = reply.render(&ctx.facts.request_id);
        let body = self.through_halves(session, ctx, &mut head, body);
        snapshot.route(ctx.route).chain.mark(&mut head, &ctx.facts);
        let bodyless = session.req_header().method == Method::HEAD || body.is_empty();
        session.write_response_header(Box::new(head), bodyless).await?;
        if !bodyless {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }
}
