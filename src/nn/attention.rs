//! Multi-head attention with its four projections.

use super::{Builder, Context, Linear};
use crate::error::Result;
use crate::ops::Ragged;
use crate::ops::attention::{AttentionSpec, attention};
use crate::random::site;
use crate::tape::Var;

/// o(attention(q(x), k(z), v(z))), all maps d×d with bias; head h owns columns h·d_k … (h + 1)·d_k.
pub struct MultiHead {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    /// Random site of the dropout of attention weights; `None`: these are never dropped.
    site: Option<u64>,
}

impl MultiHead {
    /// Declares `name.q`, `name.k`, `name.v`, `name.o`.
    pub fn new(b: &mut Builder, name: &str, d: usize, heads: usize, drop_weights: bool) -> Self {
        let mut map = |part: &str| Linear::new(b, &format!("{name}.{part}"), d, d);
        let (query, key, value, output) = (map("q"), map("k"), map("v"), map("o"));
        let site = drop_weights.then(|| site(&format!("dropout.{name}")));
        MultiHead { query, key, value, output, heads, site }
    }

    /// Rows of `x` attend to rows of `z` of the same sample.
    pub fn apply(&self, cx: &Context, x: &Var, x_rows: &Ragged, z: &Var, z_rows: &Ragged) -> Result<Var> {
        let dropout = self.site.and_then(|site| cx.dropout(site));
        let spec = AttentionSpec { heads: self.heads, queries: x_rows.clone(), keys: z_rows.clone(), dropout };
        let (q, k, v) = (self.query.apply(cx, x)?, self.key.apply(cx, z)?, self.value.apply(cx, z)?);
        self.output.apply(cx, &attention(cx.tape, &q, &k, &v, &spec)?)
    }
}
