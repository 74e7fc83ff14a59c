//! Who vouches for a bundle: keys, signatures, and the judgement of them.
//!
//! The scheme is Nix's own, so that `nix store verify --sigs-needed` and `nix copy` take our
//! signatures and we take Nix's: Ed25519 over the text that [`fingerprint`] gives. What is not a
//! store path (a channel's pointer, provenance) is sealed in an [`envelope`] with the same keys.
//! Both texts begin differently, so that a signature of one is never one of the other.
//!
//! Nothing here reads files: keys, policies and signatures are handed in.

pub mod envelope;
mod key;
mod policy;

use std::collections::BTreeSet;

use crate::bundle::{NarHash, StoreName};
use crate::diagnostic::Code;

pub use key::{KeyError, PublicKey, SecretKey, Signature};
pub use policy::{Policy, PolicyError};

pub static M801: Code = Code {
    id: "M801",
    title: "`[trust]` can't be read",
    explain: "What the profile says of trust must be exact, since anything else would trust too much or too little:

    [trust]
    keys = [\"fleet-1:wI20T4znbg8Injg0WjO7uiRL3jcHkoQlDxe7JTTGcHo=\"]   # public keys: `monprov key public FILE`
    revoked = [\"fleet-0\"]                                           # names of keys, without what follows `:`
    bad = [\"jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod\"]                  # store names of bundles
    required = true",
};

pub static CODES: &[&Code] = &[&M801];

/// What is signed of a bundle: everything that decides what it is. A bundle refers to no other
/// store path.
pub fn fingerprint(name: &StoreName, hash: &NarHash, nar_size: u64) -> String {
    format!("1;/nix/store/{name};sha256:{};{nar_size};", hash.base32())
}

/// Whom this machine trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    pub keys: Vec<PublicKey>,
    /// Names of keys that are not trusted any more, whoever still lists them.
    pub revoked: BTreeSet<String>,
    /// Nothing is activated or taken from elsewhere without a signature of a trusted key.
    pub required: bool,
    /// Bundles that are not to run, whoever signed them.
    pub bad: BTreeSet<StoreName>,
}

/// What there is to say about the signatures of one message, by the names of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Trusted keys that signed it.
    pub signed_by: BTreeSet<String>,
    /// Keys that nobody here trusts: whether their signatures are right can't be told.
    pub unknown: BTreeSet<String>,
    /// Trusted keys whose signatures are of another message, or forged.
    pub wrong: BTreeSet<String>,
    /// Keys that were revoked: their signatures count for nothing.
    pub revoked: BTreeSet<String>,
}

impl Trust {
    /// Adds another policy: keys and revocations are united, and what one requires is required.
    pub fn add(&mut self, other: Trust) {
        for key in other.keys {
            if !self.keys.contains(&key) {
                self.keys.push(key);
            }
        }
        self.revoked.extend(other.revoked);
        self.required |= other.required;
        self.bad.extend(other.bad);
    }

    /// Who signed the message. One name may stand for several keys while one replaces another.
    pub fn judge(&self, message: &[u8], signatures: &[Signature]) -> Verdict {
        let mut verdict = Verdict::default();
        for signature in signatures {
            let name = signature.name();
            let mut keys = self.keys.iter().filter(|key| key.name() == name).peekable();
            let list = if self.revoked.contains(name) {
                &mut verdict.revoked
            } else if keys.peek().is_none() {
                &mut verdict.unknown
            } else if keys.any(|key| key.verify(message, signature)) {
                &mut verdict.signed_by
            } else {
                &mut verdict.wrong
            };
            list.insert(name.to_owned());
        }
        // A good one beside a wrong one of the same name.
        verdict.wrong.retain(|name| !verdict.signed_by.contains(name));
        verdict
    }

    /// The same for a bundle.
    pub fn judge_bundle(
        &self,
        name: &StoreName,
        hash: &NarHash,
        nar_size: u64,
        signatures: &[Signature],
    ) -> Verdict {
        self.judge(fingerprint(name, hash, nar_size).as_bytes(), signatures)
    }

    /// Whether a bundle with these signatures may run or be taken.
    pub fn admit(&self, name: &StoreName, verdict: &Verdict) -> Result<(), Refusal> {
        if self.bad.contains(name) {
            return Err(Refusal::Bad { name: name.clone() });
        }
        if self.required && !verdict.is_signed() {
            let (what, why) = (name.to_string(), verdict.shortcoming());
            return Err(Refusal::Unsigned { what, why, trusted: self.trusted() });
        }
        Ok(())
    }

    /// The names of the keys that count.
    fn trusted(&self) -> Vec<String> {
        let names = self.keys.iter().map(PublicKey::name).filter(|name| !self.revoked.contains(*name));
        names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Verdict {
    /// One trusted key is enough.
    pub fn is_signed(&self) -> bool {
        !self.signed_by.is_empty()
    }

    /// Why no signature counts; the worst first.
    pub fn shortcoming(&self) -> String {
        let names =
            |names: &BTreeSet<String>| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let mut said = vec![];
        if !self.wrong.is_empty() {
            said.push(format!("the signature of {} is not of this content", names(&self.wrong)));
        }
        if !self.revoked.is_empty() {
            said.push(format!("the key {} that signed it was revoked", names(&self.revoked)));
        }
        if !self.unknown.is_empty() {
            said.push(format!("nothing here trusts the key {} that signed it", names(&self.unknown)));
        }
        if said.is_empty() { "it has no signature".into() } else { said.join(", and ") }
    }
}

/// Why something is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{name} is marked as bad where trust is configured (`bad`): take another bundle, or take the mark away"
    )]
    Bad { name: StoreName },
    #[error("{what} is not signed by a trusted key: {why}{}", remedy(trusted))]
    Unsigned { what: String, why: String, trusted: Vec<String> },
}

fn remedy(trusted: &[String]) -> String {
    match trusted {
        [] => ": no key is trusted here; list one in `keys` of `[trust]` or of the trust file".into(),
        keys => format!(": sign it with {} (`monprov sign`), or trust another key", keys.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Tree;

    fn key(name: &str, seed: u8) -> SecretKey {
        SecretKey::generate(name, &[seed; 32]).unwrap()
    }

    fn trust(keys: &[&SecretKey]) -> Trust {
        Trust { keys: keys.iter().map(|key| key.public()).collect(), required: true, ..Trust::default() }
    }

    fn bundle() -> StoreName {
        "jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod".parse().unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_fingerprint_is_that_of_nix() {
        let mut tree = Tree::new();
        tree.insert("a/b", "hi\n");
        assert_eq!(
            fingerprint(&bundle(), &tree.nar_hash().unwrap(), 456),
            "1;/nix/store/jiv7pv958p3njlg6hb4vnq0zp17jsziq-prod;\
             sha256:06abknijjs5911mwffjixbsqhvrav96kyf0nz7iqx3cgwwz7c9yx;456;"
        );
    }

    #[test]
    fn a_trusted_signature_is_enough_whatever_stands_beside_it() {
        let (ours, theirs, old) = (key("fleet-2", 1), key("other-1", 2), key("fleet-1", 3));
        let mut trust = trust(&[&ours, &old]);
        trust.revoked.insert("fleet-1".into());
        let signatures = [ours.sign(b"m"), theirs.sign(b"m"), old.sign(b"m")];
        let verdict = trust.judge(b"m", &signatures);
        assert_eq!(verdict.signed_by, set(&["fleet-2"]));
        assert_eq!(verdict.unknown, set(&["other-1"]));
        assert_eq!(verdict.revoked, set(&["fleet-1"]));
        assert_eq!(trust.admit(&bundle(), &verdict), Ok(()));
    }

    #[test]
    fn the_key_of_another_fleet_under_our_name_is_wrong() {
        let (ours, theirs) = (key("fleet-1", 1), key("fleet-1", 2));
        let trust = trust(&[&ours]);
        let verdict = trust.judge(b"m", &[theirs.sign(b"m")]);
        assert_eq!(verdict.wrong, set(&["fleet-1"]));
        let said = trust.admit(&bundle(), &verdict).unwrap_err().to_string();
        assert!(said.contains("the signature of `fleet-1` is not of this content"), "{said}");
        assert!(trust.judge(b"other", &[ours.sign(b"m")]).wrong.contains("fleet-1"));
    }

    #[test]
    fn a_key_is_replaced_under_its_name_without_a_gap() {
        let (old, new) = (key("fleet", 1), key("fleet", 2));
        let trust = trust(&[&old, &new]);
        for signatures in [vec![old.sign(b"m")], vec![new.sign(b"m")], vec![new.sign(b"x"), old.sign(b"m")]] {
            let verdict = trust.judge(b"m", &signatures);
            assert_eq!((verdict.signed_by, verdict.wrong), (set(&["fleet"]), set(&[])));
        }
    }

    #[test]
    fn policies_add_up_and_none_takes_back_what_another_demands() {
        let (one, two) = (key("one", 1), key("two", 2));
        let mut all = Trust { required: false, ..trust(&[&one]) };
        all.add(Trust { revoked: set(&["one"]), ..trust(&[&one, &two]) });
        all.add(Trust { bad: [bundle()].into(), ..Trust::default() });
        assert_eq!(all.keys, [one.public(), two.public()]);
        assert!(all.required);
        assert_eq!(all.judge(b"m", &[one.sign(b"m")]).revoked, set(&["one"]));
        let verdict = all.judge(b"m", &[two.sign(b"m")]);
        assert_eq!(all.admit(&bundle(), &verdict), Err(Refusal::Bad { name: bundle() }));
    }

    #[test]
    fn nothing_is_refused_for_its_signatures_where_none_is_required() {
        let trust = Trust::default();
        let verdict = trust.judge(b"m", &[key("who", 1).sign(b"x")]);
        assert_eq!(verdict.unknown, set(&["who"]));
        assert_eq!(trust.admit(&bundle(), &verdict), Ok(()));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let said = |trust: &Trust, signatures: &[Signature]| {
            trust.admit(&bundle(), &trust.judge(b"m", signatures)).unwrap_err().to_string()
        };
        let ours = key("fleet-1", 1);
        let named = said(&trust(&[&ours]), &[key("x", 2).sign(b"m")]);
        assert!(named.contains("nothing here trusts the key `x`") && named.contains("sign it with fleet-1"));
        let nobody = said(&trust(&[]), &[]);
        assert!(nobody.contains("it has no signature: no key is trusted here"), "{nobody}");
    }
}
