//! The listening sockets of copies that take theirs from outside, as sd_listen_fds(3) has it. A copy's keeper holds its
//! socket: across restarts of the program, and of the agent. The keeper of the next build gets it from the one before, so
//! that both programs accept from one queue until the old one is told to stop, and no connection is lost.

use super::{proc::descendants, spec::KeeperFiles};
use rustix::{
    io::IoSliceMut,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        recvmsg, sendmsg, socket_with,
    },
};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, IoSlice, Write},
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

/// How many connections may wait to be accepted: while a program is started again, they all do. The system's own limit
/// (`net.core.somaxconn`) holds as well.
const QUEUE: i32 = 4096;
/// What a keeper is asked for its socket.
pub(super) const ASK: &str = "socket";
const ANSWER: Duration = Duration::from_secs(2);
/// The state of a socket that listens, in the system's table.
const LISTENS: &str = "0A";

/// Listens anew.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // A second call only changes how many may wait (listen(2)).
    rustix::net::listen(&listener, QUEUE)?;
    Ok(listener)
}

/// Gives a socket to whoever asked for it.
pub(super) fn give(asker: &UnixStream, socket: &TcpListener) -> io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("no room for a socket"));
    }
    sendmsg(asker, &[IoSlice::new(b"\n")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The socket at `address` that the keeper of these files holds, if it lives and holds it.
pub(super) fn take(files: &KeeperFiles, address: SocketAddr) -> io::Result<Option<TcpListener>> {
    let (_folder, short) = super::keeper::short_path(&files.socket)?;
    let mut keeper = UnixStream::connect(short)?;
    keeper.set_read_timeout(Some(ANSWER))?;
    keeper.set_write_timeout(Some(ANSWER))?;
    writeln!(keeper, "{ASK}")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut said = [0; 256];
    recvmsg(&keeper, &mut [IoSliceMut::new(&mut said)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let listeners = sockets.flatten().map(|socket: OwnedFd| TcpListener::from(socket));
    Ok(listeners.into_iter().find(|listener| listener.local_addr().is_ok_and(|found| found == address)))
}

/// The sockets that the processes below `keeper` have open, by inode.
pub(super) fn sockets_below(keeper: i32) -> BTreeSet<u32> {
    let links = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    let inode = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    descendants(keeper).into_iter().flat_map(links).filter_map(inode).collect()
}

/// The sockets that listen on the port, by inode, as /proc/net/tcp has them (proc_net(5)).
pub(super) fn listening_inodes(port: u16) -> Vec<u32> {
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == LISTENS;
        fields.get(9).filter(|_| is_it)?.parse().ok()
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(inode)).collect()
}

/// The inode of the socket at the other end of a connection on this machine; absent while nobody has accepted it, for
/// then it has none. The system is asked for this one socket (sock_diag(7)): its whole table is long where much is going
/// on.
pub(super) fn accepted_inode(connection: &TcpStream) -> io::Result<Option<u32>> {
    let (service, own) = (connection.peer_addr()?, connection.local_addr()?);
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &question(service, own), SendFlags::empty(), &kernel)?;
    let mut answer = [0; 1024];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    Ok(inode_in(&answer[..length]))
}

/// What each part of a message is, by linux/netlink.h and linux/inet_diag.h.
const HEADER_BYTES: usize = 16;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const INODE_AT: usize = HEADER_BYTES + 4 + 48 + 16;

/// A request for the socket that has `local` at its own end (`struct inet_diag_req_v2`).
fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let padded = |address: SocketAddr| match address.ip() {
        IpAddr::V4(four) => [&four.octets()[..], &[0; 12]].concat(),
        IpAddr::V6(six) => six.octets().to_vec(),
    };
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut body = vec![family.as_raw() as u8, IPPROTO_TCP, 0, 0];
    body.extend_from_slice(&u32::MAX.to_ne_bytes());
    body.extend_from_slice(&local.port().to_be_bytes());
    body.extend_from_slice(&remote.port().to_be_bytes());
    body.extend_from_slice(&padded(local));
    body.extend_from_slice(&padded(remote));
    // Any interface, and a cookie that says that none is known.
    body.extend_from_slice(&0_u32.to_ne_bytes());
    body.extend_from_slice(&[0xff; 8]);
    let mut message = Vec::new();
    message.extend_from_slice(&((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&body);
    message
}

/// The inode in an answer (`struct inet_diag_msg`), if it is one and says any.
fn inode_in(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let inode = u32::from_ne_bytes(answer.get(INODE_AT..INODE_AT + 4)?.try_into().ok()?);
    (kind == SOCK_DIAG_BY_FAMILY && inode != 0).then_some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn who_accepted_is_known_once_somebody_has() {
        let parent = rustix::process::getppid().unwrap().as_raw_pid();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(address.parse().unwrap()).unwrap();
            let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(accepted_inode(&connection).unwrap(), None);
            let _accepted = listener.accept().unwrap();
            let inode = accepted_inode(&connection).unwrap().unwrap();
            assert!(sockets_below(parent).contains(&inode));
            let listening = listening_inodes(listener.local_addr().unwrap().port());
            assert!(listening.len() == 1 && sockets_below(parent).contains(&listening[0]), "{listening:?}");
            // A process that has no children has no sockets below it.
            assert!(sockets_below(std::process::id() as i32).is_empty());
        }
    }

    #[test]
    fn a_socket_is_given_and_taken() {
        let (giver, taker) = UnixStream::pair().unwrap();
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        give(&giver, &listener).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut said = [0; 8];
        recvmsg(&taker, &mut [IoSliceMut::new(&mut said)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let taken = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        let taken = TcpListener::from(taken.unwrap());
        assert_eq!(taken.local_addr().unwrap(), listener.local_addr().unwrap());
    }
}
