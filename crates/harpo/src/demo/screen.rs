//! How the demo tells its story: steps, progress bars, and two columns, what the hospitals saw
//! beside what the cloud saw.

use std::time::Duration;

use console::{Style, Term, measure_text_width, pad_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Standard error, so that standard output stays free for other programs.
#[derive(Debug)]
pub(crate) struct Screen {
    term: Term,
    step: u32,
}

impl Screen {
    /// On standard error.
    pub(crate) fn new() -> Self {
        Self {
            term: Term::stderr(),
            step: 0,
        }
    }

    /// The headline.
    pub(crate) fn title(&self, title: &str, below: &str) {
        self.line("");
        self.line(&format!(
            "  {}",
            Style::new().bold().for_stderr().apply_to(title)
        ));
        self.line(&format!("  {}", dim(below)));
    }

    /// Begins a numbered step.
    pub(crate) fn step(&mut self, what: &str) {
        self.step += 1;
        let number = Style::new()
            .cyan()
            .bold()
            .for_stderr()
            .apply_to(format!("{:>2}", self.step));
        self.line("");
        self.line(&format!(
            "{number}  {}",
            Style::new().bold().for_stderr().apply_to(what)
        ));
    }

    /// A line below the step.
    pub(crate) fn note(&self, text: &str) {
        self.line(&format!("    {text}"));
    }

    /// A line that something is right.
    pub(crate) fn good(&self, text: &str) {
        self.line(&format!(
            "    {} {text}",
            Style::new().green().for_stderr().apply_to("✓")
        ));
    }

    /// A line that something is not.
    pub(crate) fn bad(&self, text: &str) {
        self.line(&format!(
            "    {} {text}",
            Style::new().red().bold().for_stderr().apply_to("✗")
        ));
    }

    /// What the hospitals saw beside what the cloud saw.
    pub(crate) fn columns(&self, hospitals: &[String], cloud: &[String]) {
        let width = usize::from(self.term.size().1).clamp(80, 140);
        let left = (width - 9) / 2;
        let head = Style::new().underlined().for_stderr();
        let cell = |text: &str| pad_str(text, left, console::Alignment::Left, None).into_owned();
        self.line(&format!(
            "    {}  │  {}",
            head.apply_to(cell("the hospitals saw")),
            head.apply_to("the cloud saw")
        ));
        let hospitals: Vec<String> = hospitals.iter().flat_map(|t| wrap(t, left)).collect();
        let cloud: Vec<String> = cloud.iter().flat_map(|t| wrap(t, left)).collect();
        for row in 0..hospitals.len().max(cloud.len()) {
            let a = hospitals.get(row).map_or("", String::as_str);
            let b = cloud.get(row).map_or("", String::as_str);
            self.line(&format!("    {}  │  {}", cell(a), dim(b)));
        }
    }

    /// A bar of `total` things.
    pub(crate) fn bar(&self, total: u64, what: &str, bytes: bool) -> ProgressBar {
        let template = if bytes {
            "    {msg:28} [{bar:30.cyan}] {bytes}/{total_bytes} {elapsed}"
        } else {
            "    {msg:28} [{bar:30.cyan}] {pos}/{len} {elapsed}"
        };
        self.dress(ProgressBar::new(total), template, what)
    }

    /// For work whose length is not known.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        let bar = self.dress(
            ProgressBar::new_spinner(),
            "    {msg:28} {spinner} {elapsed}",
            what,
        );
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn dress(&self, bar: ProgressBar, template: &str, what: &str) -> ProgressBar {
        bar.set_draw_target(ProgressDrawTarget::term(self.term.clone(), 10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▌ "));
        }
        bar.set_message(what.to_owned());
        bar
    }

    fn line(&self, text: &str) {
        // A closed terminal is no reason to stop.
        let _ = self.term.write_line(text);
    }
}

fn dim(text: &str) -> impl std::fmt::Display + use<'_> {
    Style::new().dim().for_stderr().apply_to(text)
}

/// Breaks a text at spaces so that no line is wider than `width`, where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && measure_text_width(line) + 1 + measure_text_width(word) > width {
            lines.push(format!("  {word}"));
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// `1.2 MB`: decimal, as networks and disks count.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "  three"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(megabytes(999), "999 B");
        assert_eq!(megabytes(52_300), "52 kB");
        assert_eq!(megabytes(28_300_000), "28.3 MB");
    }
}
