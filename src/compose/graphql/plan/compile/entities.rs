//! What a federation router asks of the root: calls that find objects by their keys.

use std::sync::Arc;

use super::{Compiler, Place, ROOT};
use crate::compose::graphql::federation::Entity;
use crate::compose::graphql::plan::{Arguing, SelectionId, Site, SiteId, What};
use crate::compose::graphql::tables::TypeId;

impl Compiler<'_> {
    /// Whether something is asked of the root of a subgraph.
    pub(super) fn is_router_asked(&self, object: TypeId, place: Place) -> bool {
        self.tables.is_subgraph && place == ROOT && self.tables.id(self.prepared.operation.object_type()) == Some(object)
    }

    /// The sites that find objects by their keys.
    pub(super) fn entities(&mut self, selection: SelectionId, field: usize, place: Place) -> Vec<(TypeId, Option<SiteId>)> {
        let tables = self.tables;
        let site = |entity: &Entity| {
            let site = entity.via.as_ref().map(|via| {
                let group = self.group(via.call(), place);
                let arguing = Arguing::Constant(Arc::default());
                self.plan.sites.push(Site { selection, field, group, arguing, each: None, entity: Some(entity.object) });
                self.plan.groups[group].sites.push(self.plan.sites.len() - 1);
                self.plan.sites.len() - 1
            });
            (entity.object, site)
        };
        tables.entities.iter().map(site).collect()
    }

    /// Where calls stand below an object of this type.
    pub(super) fn behind(&self, what: &What, object: TypeId, within: Place) -> Place {
        let What::Entities(entities) = what else { return within };
        match entities.sites.iter().find(|(of, _)| *of == object) {
            Some((_, Some(site))) => Place { group: Some(self.plan.sites[*site].group), level: within.level + 1, ..within },
            _ => within,
        }
    }
}
