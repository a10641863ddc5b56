//! What a run of the laboratory says: a table, a page, drawings, a file of figures.

pub(crate) mod chart;
pub(crate) mod columns;

pub use chart::ChartError;
