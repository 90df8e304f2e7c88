//! Text for HTML: escaping, and numbers as people read them.

/// Escapes text for HTML content and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control characters are not allowed in HTML; their picture is.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// JSON that may stand inside a script element: no `<` that could close it.
pub(super) fn script_json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A coordinate of a drawing: one decimal, no trailing zero.
pub(super) fn px(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded == rounded.trunc() { format!("{}", rounded as i64) } else { format!("{rounded:.1}") }
}

/// A number at a tick: 0.25, 5, 2.5k, 10M, 1e-4.
pub(super) fn tick(value: f64) -> String {
    let size = value.abs();
    let short = |number: f64, unit: &str| {
        let text = format!("{number:.2}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}{unit}")
    };
    match size {
        _ if size == 0.0 => "0".into(),
        _ if size >= 1e9 => format!("{value:.0e}"),
        _ if size >= 1e6 => short(value / 1e6, "M"),
        _ if size >= 1e3 => short(value / 1e3, "k"),
        _ if size >= 0.01 => short(value, ""),
        _ => format!("{value:.0e}"),
    }
}

/// A p-value: 0.031, 4.2e-17, "< 1e-300" where it is too small to be held.
pub(super) fn p_value(p: f64) -> String {
    if p.is_nan() {
        "–".into()
    } else if p < 1e-300 {
        "&lt; 1e-300".into()
    } else if p < 1e-3 {
        format!("{p:.1e}")
    } else {
        format!("{p:.3}")
    }
}

/// A number with `digits` decimals; a dash for what is no number.
pub(super) fn fixed(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "–".into() }
}
