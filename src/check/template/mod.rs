//! Go templates in labels and annotations, parsed by the rules of Go's `text/template` with
//! the functions and variables that Prometheus gives them (`template/template.go`). What
//! `promtool check rules` refuses is refused here, with its place.

mod lex;
mod pipeline;

use std::ops::Range;

use self::lex::{Kind, Token, tokens};
use crate::check::promql::{Fault, M117, Spanned};
use crate::stack::Version;

/// What a template uses.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// `$labels.name`, `.Labels.name`, `index $labels "name"`.
    pub labels: Vec<Spanned<String>>,
    /// Expressions that are given to `query` as they are.
    pub queries: Vec<Spanned<String>>,
}

/// How deep actions and brackets may be nested.
const DEEPEST: usize = 100;

/// Reads a template; the error is the first thing that is wrong.
pub fn parse(text: &str, version: Version) -> Result<Uses, Fault> {
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        at: 0,
        version,
        variables: ["$", "$labels", "$externalLabels", "$externalURL", "$value"].map(str::to_owned).to_vec(),
        blocks: vec![],
        depth: 0,
        uses: Uses::default(),
    };
    parser.template()?;
    Ok(parser.uses)
}

/// An open `{{if}}`, `{{range}}`, `{{with}}`, `{{define}}` or `{{block}}`.
struct Block {
    word: String,
    range: Range<usize>,
    /// The variables that were known before it.
    variables: usize,
    has_else: bool,
    /// `{{else if}}` opens blocks that one `{{end}}` closes.
    chained: bool,
    /// `define` starts anew; what was known outside comes back behind it.
    outside: Option<Vec<String>>,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    version: Version,
    variables: Vec<String>,
    blocks: Vec<Block>,
    depth: usize,
    uses: Uses,
}

fn fault(range: Range<usize>, message: impl Into<String>) -> Fault {
    Fault::new(range, message).code(&M117)
}

impl Parser<'_> {
    fn template(&mut self) -> Result<(), Fault> {
        while self.at < self.tokens.len() {
            self.skip_space();
            match self.peek().map(|t| (t.kind, self.word(t).to_owned())) {
                Some((Kind::Word, word)) if is_keyword(&word) => self.control(&word)?,
                // A declaration holds until the end of the surrounding block.
                _ => self.pipeline(Kind::End, true)?,
            }
        }
        match self.blocks.last() {
            Some(block) => Err(fault(block.range.clone(), format!("this `{}` has no end", block.word))
                .label("`{{ end }}` is missing")),
            None => Ok(()),
        }
    }

    // -- words --

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn word(&self, token: &Token) -> &str {
        self.text.get(token.range.clone()).unwrap_or_default()
    }

    fn is(&self, kind: Kind) -> bool {
        self.peek().is_some_and(|t| t.kind == kind)
    }

    fn skip_space(&mut self) {
        while self.is(Kind::Space) {
            self.at += 1;
        }
    }

    fn unexpected(&self, expected: &str) -> Fault {
        match self.peek() {
            Some(token) => {
                let what = match token.kind {
                    Kind::End => "the end of the action".to_owned(),
                    _ => format!("`{}`", self.word(token)),
                };
                fault(token.range.clone(), format!("unexpected {what} in a template")).label(expected)
            }
            None => fault(self.text.len()..self.text.len(), "the template ends too early").label(expected),
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.is(Kind::End) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected("here stands `}}`"))
    }

    // -- if, range, with, define, block, template --

    fn control(&mut self, word: &str) -> Result<(), Fault> {
        let range = self.peek().map_or(0..0, |t| t.range.clone());
        self.at += 1;
        match word {
            "end" => {
                self.end()?;
                loop {
                    let Some(block) = self.blocks.pop() else {
                        return Err(fault(range, "there is nothing to end here").label("remove it"));
                    };
                    match block.outside {
                        Some(variables) => self.variables = variables,
                        None => self.variables.truncate(block.variables),
                    }
                    if !block.chained {
                        return Ok(());
                    }
                }
            }
            "else" => self.otherwise(range),
            "break" | "continue" => {
                if !self.blocks.iter().any(|b| b.word == "range") {
                    return Err(fault(range, format!("`{word}` stands outside of a `range`")));
                }
                self.end()
            }
            "if" | "range" | "with" => self.open(word, range, false),
            "define" => {
                if !self.blocks.is_empty() {
                    return Err(fault(range, "`define` stands within another block")
                        .label("templates are defined outside of everything"));
                }
                self.name()?;
                self.end()?;
                let outside = std::mem::replace(&mut self.variables, vec!["$".into()]);
                self.block(word, range, false, Some(outside))
            }
            "block" => {
                self.name()?;
                self.pipeline(Kind::End, false)?;
                let outside = std::mem::replace(&mut self.variables, vec!["$".into()]);
                self.block(word, range, false, Some(outside))
            }
            "template" => {
                self.name()?;
                self.skip_space();
                if self.is(Kind::End) { self.end() } else { self.pipeline(Kind::End, false) }
            }
            _ => Err(fault(range, format!("`{word}` can't stand here"))),
        }
    }

    fn block(
        &mut self,
        word: &str,
        range: Range<usize>,
        chained: bool,
        outside: Option<Vec<String>>,
    ) -> Result<(), Fault> {
        if self.blocks.len() >= DEEPEST {
            return Err(fault(range, format!("blocks are nested more than {DEEPEST} deep")));
        }
        let variables = self.variables.len();
        self.blocks.push(Block {
            word: word.to_owned(),
            range,
            variables,
            has_else: false,
            chained,
            outside,
        });
        Ok(())
    }

    /// `if`, `range` and `with`: variables declared in their pipeline hold inside.
    fn open(&mut self, word: &str, range: Range<usize>, chained: bool) -> Result<(), Fault> {
        self.block(word, range, chained, None)?;
        self.declaration(word == "range")?;
        self.pipeline(Kind::End, false)
    }

    fn otherwise(&mut self, range: Range<usize>) -> Result<(), Fault> {
        self.skip_space();
        let inner = self.peek().filter(|t| t.kind == Kind::Word).map(|t| self.word(t).to_owned());
        let Some(block) = self.blocks.last_mut() else {
            return Err(fault(range, "`else` stands outside of an `if`, `range` or `with`"));
        };
        if block.has_else || block.outside.is_some() {
            return Err(fault(range, format!("`{}` has no place for another `else`", block.word)));
        }
        block.has_else = true;
        let (variables, word) = (block.variables, block.word.clone());
        self.variables.truncate(variables);
        match inner.as_deref() {
            Some("if") if word == "if" => {
                let range = self.peek().map_or(range, |t| t.range.clone());
                self.at += 1;
                self.open("if", range, true)
            }
            _ => self.end(),
        }
    }

    /// The quoted name behind `template`, `define` and `block`.
    fn name(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.is(Kind::Text) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected("here stands the name of a template in quotes"))
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template" | "with"
    )
}
