//! What a document would do, for people: which calls, in which order.

use std::sync::Arc;

use super::plan::{Group, Prepared, What};
use super::tables::Of;
use super::{Graph, Operation, Request, place_in};

/// What an operation would do.
#[derive(Debug)]
pub(crate) struct Planned {
    /// What it does.
    pub operation: Operation,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// What it costs, where that does not depend on variables that are not known.
    pub cost: Option<u64>,
    /// How many fields of the answer it has at most of one object each.
    pub fields: usize,
    /// Its calls, in the order in which they can be made.
    pub calls: Vec<PlannedCall>,
}

/// A call of an operation.
#[derive(Debug)]
pub(crate) struct PlannedCall {
    /// From 1 on; calls of one stage are made together.
    pub stage: usize,
    /// `Type.field`.
    pub name: Arc<str>,
    /// As it is written: `GET users /users/{args.id}`.
    pub asks: String,
    /// The names in the answer that get something of it.
    pub keys: Vec<String>,
    /// `each of parent.product_id, 50 a call`.
    pub each: Option<String>,
}

impl Graph {
    /// What a document would do for who has this profile: what is wrong with it where it would do nothing.
    pub(crate) fn plan(
        &self,
        document: &str,
        operation: Option<&str>,
        variables: Option<&[u8]>,
        profile: Option<&str>,
    ) -> Result<Planned, Vec<String>> {
        let said = |(_, faults): super::Refusal| {
            let place = |at: usize| place_in(document, at);
            let told = faults.into_iter().map(|fault| match fault.at.map(place) {
                Some((line, column)) => format!("{line}:{column}: {}", fault.message),
                None => fault.message,
            });
            told.collect::<Vec<String>>()
        };
        let prepared = Prepared::new(&self.schema, &self.written.limits, document, operation).map_err(said)?;
        let request = Request { document, operation, variables, may_mutate: true, introspection: true, profile };
        let (plan, variables) = self.plan_for(&request, &prepared).map_err(said)?;
        let before: Vec<usize> = (0..plan.phases.max(1))
            .scan(0, |before, phase| {
                let own = plan.groups.iter().filter(|group| group.phase == phase).map(|group| group.level + 1).max().unwrap_or(0);
                *before += own;
                Some(*before - own)
            })
            .collect();
        let call = |group: &Group| {
            let call = &self.tables.calls[group.call];
            let key = |&site: &usize| plan.selections[plan.sites[site].selection].fields[plan.sites[site].field].key.to_string();
            let mut keys: Vec<String> = group.sites.iter().map(key).collect();
            keys.dedup();
            let each = call.each.as_ref().map(|each| {
                let (of, steps) = match &each.of {
                    Of::Arguments(steps) => ("args", steps),
                    Of::Parent(steps) => ("parent", steps),
                };
                let place = frontgate_filters::json::Place::of(steps.iter().cloned());
                let size = each.batch.as_ref().map_or(1, |(size, _)| *size);
                format!("each of {of}.{place}, {size} a call, at most {} an object", each.most)
            });
            PlannedCall {
                stage: before[group.phase] + group.level + 1,
                name: call.name.clone(),
                asks: call.written.to_string(),
                keys,
                each,
            }
        };
        let mut calls: Vec<PlannedCall> = plan.groups.iter().map(call).collect();
        calls.sort_by_key(|call| call.stage);
        let is_shown = |what: &What| !matches!(what, What::Hidden);
        let fields = plan.selections.iter().flat_map(|selection| selection.fields.iter()).filter(|field| is_shown(&field.what)).count();
        let cost = plan.cost.or_else(|| plan.cost(Some(&variables)));
        Ok(Planned { operation: prepared.kind, name: prepared.name, cost, fields, calls })
    }
}
