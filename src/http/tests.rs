use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use super::*;

struct Hello;

impl Pages for Hello {
    fn page(&self, path: &str) -> Option<Page> {
        let body = "hello\n".to_owned();
        (path == "/hello").then_some(Page { status: StatusCode::OK, content_type: TEXT, body })
    }
}

fn start() -> Server {
    Server::start(([127, 0, 0, 1], 0).into(), Arc::new(Hello)).expect("a free port")
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("connected");
    stream.set_read_timeout(Some(CONNECTION_TIMEOUT * 2)).expect("set");
    stream
}

/// What the server answers until it closes the connection.
fn answer_to(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn get(server: &Server, path: &str) -> String {
    answer_to(server, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
}

#[test]
fn a_page_is_read_and_nothing_else() {
    let server = start();
    let page = get(&server, "/hello?x=1");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nhello\n"), "{page}");
    assert!(get(&server, "/other").starts_with("HTTP/1.1 404 "));
    let head = answer_to(&server, b"HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let post = answer_to(&server, b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
}

#[test]
fn odd_requests_are_refused_or_cut_off() {
    let server = start();
    let long = format!("GET /hello HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * HEADER_BYTES_MAX));
    let many = format!("GET /hello HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(HEADERS_MAX + 1));
    for request in [long.as_bytes(), many.as_bytes(), b"\x16\x03\x01\x02\x00\x01", b"what\r\n\r\n"]
    {
        let answer = answer_to(&server, request);
        assert!(!answer.contains("hello"), "{answer}");
    }
    assert!(get(&server, "/hello").ends_with("hello\n"), "it serves on");
}

#[test]
fn slow_clients_hold_no_other_up_and_are_cut_off() {
    let server = start();
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..3 * CONNECTIONS_MAX).map(|_| connect(&server)).collect();
    for stream in &mut slow {
        // Those that were closed for newer ones take nothing.
        let _ = stream.write_all(b"GET /hello HTT");
    }
    assert!(get(&server, "/hello").ends_with("hello\n"), "served beside the slow ones");
    assert!(began.elapsed() < CONNECTION_TIMEOUT, "at once");
    let mut last = slow.pop().expect("many");
    let mut rest = Vec::new();
    let _ = last.read_to_end(&mut rest);
    assert!(rest.is_empty() && began.elapsed() < 2 * CONNECTION_TIMEOUT, "cut off");
}

#[test]
fn a_port_in_use_is_an_error_and_free_again_after_the_end() {
    let server = start();
    let address = server.address();
    let second = Server::start(address, Arc::new(Hello)).expect_err("in use");
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
    drop(server);
    Server::start(address, Arc::new(Hello)).expect("free again");
}
