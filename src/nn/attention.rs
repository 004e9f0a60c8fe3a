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
    /// What queries and keys are shown as to [`Context::probe`], where they are.
    shown: Option<[String; 2]>,
}

impl MultiHead {
    /// Declares `name.q`, `name.k`, `name.v`, `name.o`.
    pub fn new(b: &mut Builder, name: &str, d: usize, heads: usize, drop_weights: bool) -> Self {
        let mut map = |part: &str| Linear::new(b, &format!("{name}.{part}"), d, d);
        let (query, key, value, output) = (map("q"), map("k"), map("v"), map("o"));
        let site = drop_weights.then(|| site(&format!("dropout.{name}")));
        MultiHead { query, key, value, output, heads, site, shown: None }
    }

    /// The same, whose queries and keys are shown to [`Context::probe`] as `name.q` and `name.k`.
    pub fn shown_as(self, name: &str) -> Self {
        MultiHead { shown: Some([format!("{name}.q"), format!("{name}.k")]), ..self }
    }

    /// Rows of `x` attend to rows of `z` of the same sample.
    pub fn apply(&self, cx: &Context, x: &Var, x_rows: &Ragged, z: &Var, z_rows: &Ragged) -> Result<Var> {
        let dropout = self.site.and_then(|site| cx.dropout(site));
        let spec = AttentionSpec { heads: self.heads, queries: x_rows.clone(), keys: z_rows.clone(), dropout };
        let (q, k, v) = (self.query.apply(cx, x)?, self.key.apply(cx, z)?, self.value.apply(cx, z)?);
        if let Some([queries, keys]) = &self.shown {
            cx.probe(queries, &q);
            cx.probe(keys, &k);
        }
        self.output.apply(cx, &attention(cx.tape, &q, &k, &v, &spec)?)
    }
}
