//! Streams and pollables. Standard input has ended, output goes to the log, and everything that can be
//! polled is ready, so that nothing ever waits.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::error;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult,
};

use super::Wasi;
use super::meter::Stop;
use crate::profile::{
    WASI_POLL_MAX, WASI_POLLED_FUEL, WASI_WRITE_BYTES_MAX, WASI_WRITTEN_BYTE_FUEL,
};

/// What the guest's handles stand for: there is one of each.
pub(super) const STDIN: u32 = 0;
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;
const READY: u32 = 3;

impl Wasi {
    /// A handle for the guest, which gives it back when it drops it.
    pub(super) fn give<T: 'static>(&mut self, which: u32) -> Result<Resource<T>, Stop> {
        self.meter.call()?;
        self.meter.give_handle()?;
        Ok(Resource::new_own(which))
    }

    fn take_back(&mut self) -> wasmtime::Result<()> {
        self.meter.take_handle();
        Ok(self.meter.call()?)
    }

    /// Pays for a write, and refuses what `check-write` does not allow. Both outputs are one log.
    fn write_of(&mut self, bytes: u64) -> StreamResult<()> {
        self.meter.call_with(bytes, WASI_WRITTEN_BYTE_FUEL).map_err(trap)?;
        if bytes > WASI_WRITE_BYTES_MAX {
            return Err(trap(Stop::NotGiven("it wrote more at once than a stream takes")));
        }
        Ok(())
    }

    /// Pays for reading from what has ended.
    fn at_end<T>(&mut self) -> StreamResult<T> {
        self.meter.call().map_err(trap)?;
        Err(StreamError::Closed)
    }

    fn nothing_to_flush(&mut self) -> StreamResult<()> {
        self.meter.call().map_err(trap)
    }
}

fn trap(stop: Stop) -> StreamError {
    StreamError::Trap(stop.into())
}

impl streams::Host for Wasi {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) | StreamError::Trap(error) => Err(error),
        }
    }
}

impl streams::HostInputStream for Wasi {
    fn drop(&mut self, _: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.take_back()
    }

    fn read(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<Vec<u8>> {
        self.at_end()
    }

    fn blocking_read(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<Vec<u8>> {
        self.at_end()
    }

    fn skip(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        self.at_end()
    }

    fn blocking_skip(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        self.at_end()
    }

    fn subscribe(
        &mut self,
        _: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        Ok(self.give(READY)?)
    }
}

impl streams::HostOutputStream for Wasi {
    fn drop(&mut self, _: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.take_back()
    }

    fn check_write(&mut self, _: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.meter.call().map_err(trap)?;
        Ok(WASI_WRITE_BYTES_MAX)
    }

    fn write(&mut self, _: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.write_of(bytes.len() as u64)?;
        self.log.write(&bytes);
        Ok(())
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn write_zeroes(&mut self, _: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        self.write_of(length)?;
        self.log.write(&[0; WASI_WRITE_BYTES_MAX as usize][..length as usize]);
        Ok(())
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        length: u64,
    ) -> StreamResult<()> {
        self.write_zeroes(stream, length)
    }

    fn flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        self.nothing_to_flush()
    }

    fn blocking_flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        self.nothing_to_flush()
    }

    fn subscribe(
        &mut self,
        _: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        Ok(self.give(READY)?)
    }

    fn splice(
        &mut self,
        _: Resource<DynOutputStream>,
        _: Resource<DynInputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        self.at_end()
    }

    fn blocking_splice(
        &mut self,
        _: Resource<DynOutputStream>,
        _: Resource<DynInputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        self.at_end()
    }
}

impl poll::Host for Wasi {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.meter.call_with(pollables.len() as u64, WASI_POLLED_FUEL)?;
        match pollables.len() {
            0 => Err(Stop::NotGiven("it polled nothing, which never ends").into()),
            length if length > WASI_POLL_MAX => {
                Err(Stop::NotGiven("it polled too much at once").into())
            }
            length => Ok((0..length as u32).collect()),
        }
    }
}

impl poll::HostPollable for Wasi {
    fn ready(&mut self, _: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.meter.call()?;
        Ok(true)
    }

    fn block(&mut self, _: Resource<DynPollable>) -> wasmtime::Result<()> {
        Ok(self.meter.call()?)
    }

    fn drop(&mut self, _: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.take_back()
    }
}

impl error::Host for Wasi {}

/// No stream of ours fails with one.
impl error::HostError for Wasi {
    fn to_debug_string(&mut self, _: Resource<IoError>) -> wasmtime::Result<String> {
        self.meter.call()?;
        Ok(String::new())
    }

    fn drop(&mut self, _: Resource<IoError>) -> wasmtime::Result<()> {
        Ok(self.meter.call()?)
    }
}
