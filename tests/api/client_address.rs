//! Contract §7: whose address is counted behind proxies, and that no client gets another by what it writes.
//!
//! The tests play the proxy: they connect from a trusted address, send on what a client has made up, and add the client's
//! address to it as proxies do.

use crate::support::{Gateway, GatewayOptions, WireRequest};

const PATH: &str = "/v1/errors";
/// The client whose requests are forged, by the proxy's own word.
const CLIENT: &str = "198.51.100.7";
const BURST: usize = 3;

/// A gateway that grants an address so many requests, and none again while a test runs.
async fn behind_proxies(header: &str) -> Gateway {
    let none_again = format!("{{ requests = {BURST}, window = \"300h\", burst = {BURST} }}");
    Gateway::with(GatewayOptions {
        server: format!("trusted_proxies = [\"127.0.0.0/8\", \"::1/128\"]\nclient_address_header = \"{header}\""),
        rate_limit: format!("default = {none_again}\nper_address = {none_again}"),
        ..GatewayOptions::default()
    })
    .await
}

type Header = (&'static str, Vec<u8>);

/// The status; the headers are sent line by line as they stand.
async fn ask(gateway: &Gateway, headers: &[Header]) -> u16 {
    let mut request = WireRequest::get(PATH);
    request.headers.extend_from_slice(headers);
    request.send(gateway).await.expect("an answer").status
}

/// Asks until nothing is left in the bucket of these headers.
async fn exhaust(gateway: &Gateway, headers: &[Header]) {
    for _ in 0..BURST {
        assert_eq!(ask(gateway, headers).await, 200);
    }
    assert_eq!(ask(gateway, headers).await, 429);
}

/// What a client may write into the header that is believed, in any of them.
fn garbage() -> Vec<Vec<u8>> {
    let texts = [
        "",
        " ",
        ",",
        ",,,,",
        ";",
        "\"",
        "\"\"",
        "\\",
        "\\\"",
        "'",
        "=",
        "for",
        "for=",
        "for=\"",
        "for=\"\\",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2.2;",
        "a\tb",
        "[",
        "]",
        "[]:80",
        "192.0.2.2 192.0.2.3",
        "127.0.0.1",
        "::1",
    ];
    let bytes = [&b"\xff"[..], b"\xff\xfe, 192.0.2.2", b"\x80\x80"];
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(bytes.map(<[u8]>::to_vec)).collect()
}

/// Addresses in every spelling, all of them others than the client's.
const SPELLINGS: [&str; 14] = [
    "192.0.2.2",
    "192.0.2.2:80",
    "192.0.2.002",
    "0300.0.2.2",
    "0xc0000202",
    "3221225986",
    "2001:db8::2",
    "[2001:db8::2]",
    "[2001:db8::2]:80",
    "fe80::2%eth0",
    "[fe80::2%25eth0]:80",
    "::ffff:192.0.2.2",
    "192.0.2.2:_port",
    "255.255.255.255",
];

/// Every forgery, as a client writes it: one or several lines.
fn forgeries(element: impl Fn(&str) -> String) -> Vec<Vec<Vec<u8>>> {
    let words: Vec<Vec<u8>> =
        garbage().into_iter().chain(SPELLINGS.map(|spelling| element(spelling).into_bytes())).collect();
    let mut forgeries: Vec<_> = words.iter().map(|word| vec![word.clone()]).collect();
    forgeries.extend(words.iter().map(|word| vec![element("192.0.2.3").into_bytes(), word.clone()]));
    forgeries.extend(words.iter().map(|word| vec![word.clone(), element("192.0.2.3").into_bytes()]));
    let many = |word: String| vec![[word.as_str()].repeat(60_000 / (word.len() + 1)).join(",").into_bytes()];
    forgeries.extend([many("::1".to_owned()), many(String::new()), many(element("::1")), many(element("192.0.2.4"))]);
    forgeries.push(vec![element("192.0.2.5").into_bytes(); 80]);
    forgeries
}

/// No forgery gets more than what is left for the client, which is nothing, whether the proxy adds its word to the
/// client's last line or writes a line of its own.
async fn are_all_of_the_client(gateway: &Gateway, name: &'static str, forgeries: Vec<Vec<Vec<u8>>>, own: &str) {
    exhaust(gateway, &[(name, own.as_bytes().to_vec())]).await;
    for forged in forgeries {
        let lines = |lines: Vec<Vec<u8>>| lines.into_iter().map(|line| (name, line)).collect::<Vec<_>>();
        let own_line = [forged.as_slice(), &[own.as_bytes().to_vec()]].concat();
        let mut same_line = forged.clone();
        if let Some(last) = same_line.last_mut() {
            last.extend_from_slice(format!(", {own}").as_bytes());
        }
        for sent in [own_line, same_line] {
            let shown = String::from_utf8_lossy(&sent.join(&b'\n')).chars().take(200).collect::<String>();
            assert_eq!(ask(gateway, &lines(sent)).await, 429, "{shown}");
        }
    }
    let another = own.replace(CLIENT, "198.51.100.8");
    assert_eq!(ask(gateway, &[(name, another.into_bytes())]).await, 200, "who is another has its own");
}

#[tokio::test]
async fn whatever_a_client_writes_into_x_forwarded_for_it_stays_who_it_is() {
    let gateway = behind_proxies("x-forwarded-for").await;
    are_all_of_the_client(&gateway, "x-forwarded-for", forgeries(str::to_owned), CLIENT).await;
    gateway.stop().await;
}

#[tokio::test]
async fn whatever_a_client_writes_into_forwarded_it_stays_who_it_is() {
    let element = |address: &str| {
        if address.contains(':') { format!("For=\"{address}\"") } else { format!("for={address};proto=https") }
    };
    // The host is the client's too; a proxy quotes it.
    for own in [
        format!("for={CLIENT}"),
        format!("for=\"{CLIENT}:4711\";host=\"a, for=192.0.2.9;x=\\\"b\\\", for=192.0.2.8\""),
        format!("host=\"\\\\\";For={CLIENT};proto=http"),
        format!("for={CLIENT};host=\"a\\\", for=192.0.2.9, \""),
    ] {
        let gateway = behind_proxies("forwarded").await;
        let mut forgeries = forgeries(element);
        for open in
            ["for=192.0.2.1;host=\"", "for=\"192.0.2.1", "x=\"\\", "for=192.0.2.1;y=\"a\\\\\"\"", "for=192.0.2.1;for"]
        {
            forgeries.push(vec![open.as_bytes().to_vec()]);
        }
        are_all_of_the_client(&gateway, "forwarded", forgeries, &own).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn headers_that_the_proxies_do_not_write_are_never_read() {
    for (believed, own) in [("x-forwarded-for", CLIENT.to_owned()), ("forwarded", format!("for={CLIENT}"))] {
        let gateway = behind_proxies(believed).await;
        let of_the_proxy = (if believed == "forwarded" { "forwarded" } else { "x-forwarded-for" }, own.into_bytes());
        exhaust(&gateway, std::slice::from_ref(&of_the_proxy)).await;
        // Without a word of its own the proxy is counted itself.
        exhaust(&gateway, &[]).await;
        for (name, value) in [
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded", "for=192.0.2.1"),
            ("x_forwarded_for", "192.0.2.1"),
            ("forwarded-for", "192.0.2.1"),
            ("x-real-ip", "192.0.2.1"),
            ("x-client-ip", "192.0.2.1"),
            ("x-cluster-client-ip", "192.0.2.1"),
            ("true-client-ip", "192.0.2.1"),
            ("cf-connecting-ip", "192.0.2.1"),
            ("via", "1.1 192.0.2.1"),
            ("host", "192.0.2.1"),
        ] {
            if name == believed {
                continue;
            }
            let forged = (name, value.as_bytes().to_vec());
            // Two `Host` headers are refused by themselves.
            let refused: &[u16] = if name == "host" { &[429, 400] } else { &[429] };
            for headers in
                [vec![forged.clone(), of_the_proxy.clone()], vec![of_the_proxy.clone(), forged.clone()], vec![forged]]
            {
                assert!(refused.contains(&ask(&gateway, &headers).await), "{believed}: {name}");
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_proxy_that_names_nobody_is_counted_itself_whatever_stands_on_the_left() {
    let gateway = behind_proxies("x-forwarded-for").await;
    exhaust(&gateway, &[]).await;
    for own in garbage() {
        let line = [b"192.0.2.1, ".as_slice(), &own].concat();
        // The two that are trusted addresses themselves are believed, and what they say with them.
        let expected = if matches!(own.as_slice(), b"127.0.0.1" | b"::1" | b"\xff\xfe, 192.0.2.2") { 200 } else { 429 };
        assert_eq!(ask(&gateway, &[("x-forwarded-for", line)]).await, expected, "{}", String::from_utf8_lossy(&own));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_behind_several_proxies_is_found_and_one_network_of_ipv6_is_one_client() {
    let gateway = behind_proxies("x-forwarded-for").await;
    for chain in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9, 127.0.0.9", "192.0.2.1, 2001:db8:1:2::3, ::1, 127.1.2.3:99"]
    {
        assert_eq!(ask(&gateway, &[("x-forwarded-for", chain.into())]).await, 200, "{chain}");
    }
    assert_eq!(ask(&gateway, &[("x-forwarded-for", "[2001:db8:1:2::4]:443".into())]).await, 429);
    assert_eq!(ask(&gateway, &[("x-forwarded-for", "2001:db8:1:3::4".into())]).await, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn without_trusted_proxies_nothing_is_believed() {
    let few = format!("{{ requests = {BURST}, window = \"300h\", burst = {BURST} }}");
    let gateway = Gateway::with(GatewayOptions {
        rate_limit: format!("default = {few}\nper_address = {few}"),
        ..GatewayOptions::default()
    })
    .await;
    exhaust(&gateway, &[]).await;
    for name in ["x-forwarded-for", "forwarded"] {
        assert_eq!(ask(&gateway, &[(name, b"for=192.0.2.1".to_vec())]).await, 429);
        assert_eq!(ask(&gateway, &[(name, b"192.0.2.1".to_vec())]).await, 429);
    }
    gateway.stop().await;
}
