//! The fixed words of messages, in the languages that the shipped channels speak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Language {
    #[default]
    En,
    Zh,
}

#[derive(Debug)]
pub struct Words {
    pub firing: &'static str,
    pub resolved: &'static str,
    pub since: &'static str,
    pub lasted: &'static str,
    pub graph: &'static str,
    pub runbook: &'static str,
    pub silence: &'static str,
    pub overview: &'static str,
    /// Between the parts of a list.
    pub comma: &'static str,
    /// Days, hours, minutes, seconds.
    pub units: [&'static str; 4],
    language: Language,
}

static EN: Words = Words {
    firing: "firing",
    resolved: "resolved",
    since: "since",
    lasted: "lasted",
    graph: "Graph",
    runbook: "Runbook",
    silence: "Silence",
    overview: "All in Alertmanager",
    comma: ", ",
    units: ["d", "h", "min", "s"],
    language: Language::En,
};

static ZH: Words = Words {
    firing: "告警中",
    resolved: "已恢复",
    since: "开始于",
    lasted: "持续",
    graph: "图表",
    runbook: "处理手册",
    silence: "静默",
    overview: "在 Alertmanager 中查看",
    comma: ",",
    units: ["天", "小时", "分钟", "秒"],
    language: Language::Zh,
};

impl Language {
    pub fn words(self) -> &'static Words {
        match self {
            Language::En => &EN,
            Language::Zh => &ZH,
        }
    }
}

impl Words {
    /// `3 firing`
    pub fn count(&self, number: usize, word: &str) -> String {
        match self.language {
            Language::En => [&number.to_string(), " ", word].concat(),
            Language::Zh => [&number.to_string(), " 条", word].concat(),
        }
    }

    /// What was left out for want of room.
    pub fn more_labels(&self, number: usize) -> String {
        match self.language {
            Language::En => format!("… {number} more labels"),
            Language::Zh => format!("… 另有 {number} 个标签"),
        }
    }
}
