//! Reads kernel signatures. A kernel is written as
//!
//! ```cuda
//! template <typename T, int D>
//! KERNEL(threads = 128, D = 16 | 64)
//! forward(const T* x, const unsigned* lengths, T* y, int rows) { … }
//! ```
//!
//! and becomes one entry point for each storage type (`f32`, `bf16`) that `T` stands for and each value of `D`.
//! `T = bf16` restricts the storage; without a template header there is one entry point.

/// What a kernel's argument is.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    pub name: String,
    /// As written, without the name: `const T* __restrict__`.
    pub spelling: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `const X*`
    Input,
    /// `X*`
    Output,
    /// By value, or a `const TensorMap&`.
    Scalar,
}

/// One kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub name: String,
    /// C++ expression: threads of a block.
    pub threads: String,
    /// Blocks that an SM should hold at once (0: not asked for).
    pub blocks: u32,
    /// Storage types of `T`: empty where the kernel has no `T`.
    pub storage: Vec<&'static str>,
    /// Integer template parameters and the values they are built for.
    pub parameters: Vec<(String, Vec<i64>)>,
    pub arguments: Vec<Argument>,
}

/// C++ spelling of an element and its Rust type.
pub const ELEMENTS: [(&str, &str); 13] = [
    ("float", "f32"),
    ("double", "f64"),
    ("bf16", "bf16"),
    ("int", "i32"),
    ("int32_t", "i32"),
    ("unsigned", "u32"),
    ("uint32_t", "u32"),
    ("int64_t", "i64"),
    ("uint64_t", "u64"),
    ("size_t", "usize"),
    ("uint16_t", "u16"),
    ("uint8_t", "u8"),
    ("TensorMap", "TensorMap"),
];

impl Argument {
    /// The element's C++ name: `T`, `float`, ….
    pub fn element(&self) -> &str {
        let words = self.spelling.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|w| !w.is_empty()).find(|w| !["const", "__restrict__"].contains(w)).unwrap_or("")
    }
}

/// Every kernel of a file, in order.
pub fn parse(text: &str) -> Result<Vec<Kernel>, String> {
    let text = without_comments(text);
    let mut kernels = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("KERNEL(").map(|i| i + from) {
        from = at + "KERNEL(".len();
        let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        if text[line_start..at].trim_start().starts_with('#')
            || text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let line = text[..at].matches('\n').count() + 1;
        kernels.push(kernel(&text, at).map_err(|e| format!("line {line}: {e}"))?);
    }
    Ok(kernels)
}

fn kernel(text: &str, at: usize) -> Result<Kernel, String> {
    let (options, after) = parenthesised(&text[at + "KERNEL".len()..])?;
    let (name, _) = after.split_once('(').ok_or("expected `name(arguments)` after KERNEL(…)")?;
    let name = name.trim().to_owned();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(format!("`{name}`: a kernel's name is lower case, after KERNEL(…) and before its arguments"));
    }
    let (arguments, _) = parenthesised(&after[after.find('(').unwrap_or(0)..])?;
    let template = template_before(&text[..at])?;

    let mut kernel = Kernel {
        name,
        threads: String::new(),
        blocks: 0,
        storage: Vec::new(),
        parameters: Vec::new(),
        arguments: Vec::new(),
    };
    let mut parameters = template.into_iter();
    if parameters.as_slice().first().is_some_and(|p| p == "T") {
        parameters.next();
        kernel.storage = vec!["float", "bf16"];
    }
    kernel.parameters = parameters.map(|p| (p, Vec::new())).collect();
    for option in options.split(',') {
        let (key, value) =
            option.split_once('=').ok_or_else(|| format!("`{}`: expected key = value", option.trim()))?;
        set_option(&mut kernel, key.trim(), value.trim())?;
    }
    if kernel.threads.is_empty() {
        return Err(format!("{}: KERNEL(threads = …) is missing", kernel.name));
    }
    if let Some((name, _)) = kernel.parameters.iter().find(|(_, values)| values.is_empty()) {
        return Err(format!("{}: KERNEL(…, {name} = a | b | …) is missing", kernel.name));
    }
    for argument in arguments.split(',').map(str::trim).filter(|a| !a.is_empty()) {
        kernel.arguments.push(parse_argument(argument)?);
    }
    Ok(kernel)
}

fn set_option(kernel: &mut Kernel, key: &str, value: &str) -> Result<(), String> {
    match key {
        "threads" => kernel.threads = value.to_owned(),
        "blocks" => kernel.blocks = value.parse().map_err(|e| format!("blocks = {value}: {e}"))?,
        "T" if value == "bf16" => kernel.storage = vec!["bf16"],
        "T" if value == "f32" => kernel.storage = vec!["float"],
        _ => {
            let slot = kernel.parameters.iter_mut().find(|(name, _)| name == key);
            let (_, values) = slot.ok_or_else(|| format!("`{key}` is no option and no template parameter"))?;
            for one in value.split('|') {
                values.push(one.trim().parse().map_err(|e| format!("{key} = {one}: {e}"))?);
            }
        }
    }
    Ok(())
}

/// Names of the parameters of the `template <…>` that ends just before `KERNEL`, if there is one.
fn template_before(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim_end();
    if !text.ends_with('>') {
        return Ok(Vec::new());
    }
    let start = text.rfind("template").ok_or("`>` without template before KERNEL")?;
    let inside = text[start..].split_once('<').ok_or("expected template <…>")?.1.trim_end_matches('>');
    let last_word = |p: &str| p.split_whitespace().last().unwrap_or("").to_owned();
    Ok(inside.split(',').map(last_word).collect())
}

fn parse_argument(text: &str) -> Result<Argument, String> {
    let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').ok_or_else(|| format!("`{text}`: no name"))? + 1;
    let (spelling, name) = (text[..start].trim().to_owned(), text[start..].to_owned());
    let kind = match (spelling.contains('*'), spelling.starts_with("const ")) {
        (true, true) => Kind::Input,
        (true, false) => Kind::Output,
        (false, _) => Kind::Scalar,
    };
    let argument = Argument { name, spelling, kind };
    let element = argument.element();
    if element != "T" && !ELEMENTS.iter().any(|(cpp, _)| *cpp == element) {
        return Err(format!("`{text}`: `{element}` is not a type that can be passed to a kernel"));
    }
    Ok(argument)
}

/// The inside of the parentheses that `text` starts with, and what follows them.
fn parenthesised(text: &str) -> Result<(&str, &str), String> {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Ok((&text[1..i], &text[i + 1..])),
            ')' => depth -= 1,
            _ => {}
        }
    }
    Err("parentheses do not close".to_owned())
}

/// Replaces comments by blanks, keeping the lines.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        out.push_str(&rest[..start]);
        let block = rest[start..].starts_with("/*");
        let end = if block { rest[start..].find("*/").map(|i| i + 2) } else { rest[start..].find('\n') };
        let end = end.map_or(rest.len(), |i| start + i);
        out.extend(rest[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    out + rest
}
