//! Colour on a terminal, and none elsewhere.

use std::io::IsTerminal;

use crate::progress;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

/// A colour of the terminal's own palette.
#[derive(Debug, Clone, Copy)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Cyan,
    Dim,
    Bold,
}

impl Paint {
    /// Colours for `stream`: only where it is a terminal that has them, and not where `NO_COLOR` is set
    /// (no-color.org).
    pub(super) fn on(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = progress::is_dumb(std::env::var("TERM").ok().as_deref());
        Self {
            on: stream.is_terminal() && !refused && !dumb,
        }
    }

    /// `text` in `colour`.
    pub(super) fn colour(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Cyan => 36,
            Colour::Dim => 2,
            Colour::Bold => 1,
        };
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// `text`, less loud.
    pub(super) fn dim(self, text: &str) -> String {
        self.colour(Colour::Dim, text)
    }

    /// `text`, louder.
    pub(super) fn bold(self, text: &str) -> String {
        self.colour(Colour::Bold, text)
    }
}
