//! What a checkpoint says about itself, kept as plain text in the metadata of its safetensors files under the keys
//! `descant` (version), `arm`, `preset`, `config` (JSON), `step`, `best_s` and `best_step`.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::train::tensor_file::{TensorFile, VERSION_KEY};

/// What a checkpoint says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    /// Name of the arm, of the catalogue or the user's own.
    pub arm: String,
    /// Size preset.
    pub preset: String,
    /// The resolved configuration.
    pub config: serde_json::Value,
    /// Optimizer steps made.
    pub step: u64,
    /// Best validation S so far; `None` before the first evaluation.
    pub best: Option<Best>,
}

/// The best evaluation of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Validation S, 0–1.
    pub s: f64,
    /// The step it was reached at.
    pub step: u64,
}

impl Meta {
    /// As safetensors metadata: all text, S exactly.
    pub fn to_text(&self) -> BTreeMap<String, String> {
        let mut text = BTreeMap::from([
            (VERSION_KEY.to_string(), env!("CARGO_PKG_VERSION").to_string()),
            ("arm".into(), self.arm.clone()),
            ("preset".into(), self.preset.clone()),
            ("config".into(), self.config.to_string()),
            ("step".into(), self.step.to_string()),
        ]);
        if let Some(best) = self.best {
            text.insert("best_s".into(), best.s.to_string());
            text.insert("best_step".into(), best.step.to_string());
        }
        text
    }

    /// Back from metadata; `None` for a file without our metadata.
    pub fn from_file(file: &TensorFile) -> Result<Option<Meta>> {
        if !file.metadata.contains_key(VERSION_KEY) {
            return Ok(None);
        }
        let wrong = |key: &str, expected: &str, found: &str| {
            Error::input(&file.path, format!("metadata {key}"), expected, found)
        };
        let get = |key: &str| file.metadata.get(key).ok_or_else(|| wrong(key, "a value", "none"));
        let number = |key: &str| get(key)?.parse::<u64>().map_err(|e| wrong(key, "a whole number", &e.to_string()));
        let best = match file.metadata.get("best_s") {
            None => None,
            Some(s) => {
                let s = s.parse().map_err(|_| wrong("best_s", "a number", s))?;
                Some(Best { s, step: number("best_step")? })
            }
        };
        let config = serde_json::from_str(get("config")?).map_err(|e| wrong("config", "JSON", &e.to_string()))?;
        let meta =
            Meta { arm: get("arm")?.clone(), preset: get("preset")?.clone(), config, step: number("step")?, best };
        Ok(Some(meta))
    }
}
