//! fastwebsockets, as its examples do it. Prints its port.
//!     fastwebsockets echo
//!     fastwebsockets tls CERTIFICATE KEY
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use fastwebsockets::{upgrade, FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::{rustls, TlsAcceptor};

async fn echo(upgraded: upgrade::UpgradeFut, writev: bool) -> Result<(), WebSocketError> {
    let mut ws = upgraded.await?;
    ws.set_writev(writev);
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn serve<S>(stream: S, writev: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upgrade = move |mut request: Request<Incoming>| async move {
        let (response, upgraded) = upgrade::upgrade(&mut request)?;
        tokio::spawn(tokio::task::unconstrained(async move {
            let _ = echo(upgraded, writev).await;
        }));
        Ok::<Response<Empty<Bytes>>, WebSocketError>(response)
    };
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(upgrade))
        .with_upgrades()
        .await;
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let certificates = rustls_pemfile::certs(&mut BufReader::new(File::open(certificate)?)).collect::<Result<_, _>>()?;
    let key = rustls_pemfile::private_key(&mut BufReader::new(File::open(key)?))?.ok_or("no key")?;
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let tls = if arguments[1] == "tls" { Some(acceptor(&arguments[2], &arguments[3])?) } else { None };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match tls.clone() {
            None => drop(tokio::spawn(serve(stream, true))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(stream, false).await;
                }
            })),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(run())
}
