//! What is seeded. Secrets have characters that a URL, JSON or TOML would spell in another way.

use scrm_gateway::sandbox::{Source, State};

use super::scan::{Canary, Scanner};
use crate::support::Token;
use crate::support::people::everyone;

pub const TOKEN: &str = "Jz7/Qw+eR.tY=uI_oP-aS%dF&gH~jK";
pub const APP_KEY: &str = "Tn4_zX+cV/bN=mQ-wE.rT%yU&iO~pA";
pub const JWT_SECRET: &str = "Hs9/kL+jH.gF=dS_aP-oI%uY&tR~eW2qM";
pub const CURSOR_KEY: &str = "Ck3/vB+nM.qW=eR_tY-uI%oP&aS~dF5gH";
pub const PROXY_PASSWORD: &str = "Px8vBnMqWeRtYuIoPaSdF5gH";
/// In the address of an issuer's keys, and in what is served there in their place.
pub const HOST_KEY: &str = "Hk6jZxCvBnMaSdFgHjKlQwE7rT";

/// What is written to a source: 20 characters at most.
pub const REMARK: &str = "备注Rk5xPq7vTz2m";
pub const DESCRIPTION: &str = "一段描述Ds6yLw8nKc4j";
pub const NOTE: &str = "跟进内容Nt9uHb3eGf5d";
/// What a source may say of a customer when it refuses.
pub const NAME: &str = "诸葛孔明";
pub const MOBILE: &str = "19876543210";

/// A caller's token.
pub fn bearer() -> Token {
    Token { secret: JWT_SECRET.to_owned(), ..Token::default() }
}

/// Secrets that nobody may see.
pub fn secrets() -> Vec<Canary> {
    let token = bearer().sign();
    // The head of a token is the same for all.
    let (_, told) = token.split_once('.').unwrap();
    let mut secrets = vec![
        Canary::new("the token", TOKEN),
        Canary::new("the app key", APP_KEY),
        Canary::new("the signing secret", JWT_SECRET),
        Canary::new("the cursor key", CURSOR_KEY),
        Canary::new("the proxy's password", PROXY_PASSWORD),
        Canary::new("what a host of keys knows", HOST_KEY),
    ];
    secrets.push(Canary::new("a caller's token", told));
    secrets
}

/// What only answers to callers may hold.
pub fn customer_data(state: &State) -> Vec<Canary> {
    let mut all = vec![
        Canary::new("a remark", REMARK),
        Canary::new("a description", DESCRIPTION),
        Canary::new("a note", NOTE),
        Canary::new("a name", NAME),
        Canary::new("a mobile number", MOBILE),
    ];
    for person in everyone(state) {
        // Of two characters, its base64 would be too short to be told from chance; the scanner leaves that spelling out.
        all.push(Canary::new("a customer's name", person.name));
        all.extend(person.mobiles.into_iter().map(|mobile| Canary::new("a customer's mobile number", mobile)));
        let remarks = person.juzibot.into_iter().flat_map(|view| view.relations).map(|relation| relation.remark);
        all.extend(
            remarks.filter(|remark| !remark.is_ascii()).map(|remark| Canary::new("a customer's remark", remark)),
        );
    }
    all
}

pub fn for_secrets() -> Scanner {
    Scanner::new(&secrets())
}

/// What no command says; `token` and `demo` say a token, which is what they are for.
pub fn for_commands() -> Scanner {
    let secrets = secrets();
    Scanner::new(&secrets[..secrets.len() - 1])
}

/// What a source says that gives everything away: its own secret, as it is and as in a URL, and a customer.
pub fn indiscretion(of: Source) -> String {
    let secret = if of == Source::Juzibot { TOKEN } else { APP_KEY };
    let url = url::Url::parse_with_params("https://hub.example/api", [("token", secret)]).unwrap();
    format!("{NAME} {MOBILE} {REMARK} refused {secret} of {url}")
}
