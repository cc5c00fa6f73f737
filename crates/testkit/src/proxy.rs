//! A TCP proxy in the test's own process: a network that fails without closing connections.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::timeout,
};

const BUFFER_BYTES: usize = 64 * 1024;
/// How long bytes that were read may wait for the other side once the flow is interrupted.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// The treatment of the bytes of all connections, including new ones. No connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They are forwarded.
    Pass,
    /// They wait, and are forwarded when this ends, like TCP's retransmissions after an outage.
    Hold,
    /// They are dropped. A connection that lost bytes is closed when this ends.
    Swallow,
}

/// A proxy in front of one address. Ends when dropped.
pub struct Proxy {
    port: u16,
    flow: watch::Sender<Flow>,
    cuts: watch::Sender<u64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy on a free port in front of a port of this machine.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (flow, flows) = watch::channel(Flow::Pass);
        let (cuts, cutting) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (flows, cutting) = (flows.clone(), cutting.clone());
                connections.spawn(connection(near, target, flows, cutting));
            }
        });
        Self { port, flow, cuts, _accepting: accepting }
    }

    /// Its address, `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Sets what happens to bytes from now on.
    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    /// Closes all present connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn connection(
    near: TcpStream,
    target: u16,
    flows: watch::Receiver<Flow>,
    mut cutting: watch::Receiver<u64>,
) {
    cutting.mark_unchanged();
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // The end of one direction ends the connection.
    tokio::select! {
        () = forward(near_in, far_out, flows.clone()) => {}
        () = forward(far_in, near_out, flows) => {}
        _ = cutting.changed() => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flows: watch::Receiver<Flow>,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut has_lost_some = false;
    loop {
        let flow = *flows.borrow_and_update();
        if flow == Flow::Hold {
            if flows.changed().await.is_err() {
                return;
            }
            continue;
        }
        if flow == Flow::Pass && has_lost_some {
            return;
        }
        let read = tokio::select! {
            changed = flows.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = read else { return };
        if flow == Flow::Swallow {
            has_lost_some = true;
        } else if !matches!(
            timeout(WRITE_DEADLINE, to.write_all(&buffer[..count])).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}
