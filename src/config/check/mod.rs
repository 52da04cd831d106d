use std::collections::HashSet;
use super::collect::Index; use super::tree::{Node,Places}; use super::diagnostics::Diagnostic; use super::model::{Config,Secret};
pub struct Tree; impl Tree { pub fn new(_:&Node,_:&Index,_:&Places,_:&HashSet<u32>)->Self{Tree} }
pub fn check(_:&Config,_:&Tree,_:&mut Vec<Diagnostic>,_:&dyn Fn(&Secret)->Result<String,String>){}
