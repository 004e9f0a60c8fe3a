//! A recorded step on a GPU: a CUDA graph captured from the streams.

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode_enum};

use super::{Cuda, Handle, driver};
use crate::error::Result;

/// An instantiated graph.
pub(in crate::device) struct Graph {
    exec: Handle<sys::CUgraphExec>,
}

impl Cuda {
    /// What is launched from here on is kept rather than run. The mode lets the heap grow and kernels load meanwhile.
    pub(in crate::device) fn begin_recording(&self) -> Result<()> {
        self.enter()?;
        self.copies_after_all()?;
        // SAFETY: the stream lives as long as `self`.
        let begun = unsafe {
            result::stream::begin_capture(self.main_stream(), CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_RELAXED)
        };
        driver("record a step", begun)?;
        self.heap(|heap| heap.recording = true);
        Ok(())
    }

    /// What was kept, ready to run.
    pub(in crate::device) fn end_recording(&self) -> Result<Graph> {
        self.enter()?;
        self.heap(|heap| heap.recording = false);
        // SAFETY: capture began on this stream; the graph is destroyed once instantiated.
        unsafe {
            let graph = driver("end a recorded step", result::stream::end_capture(self.main_stream()))?;
            let exec = result::graph::instantiate(graph, CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            let exec = driver("prepare a recorded step", exec)?;
            // Uploads made meanwhile are there before it first runs.
            driver("finish copies", result::stream::synchronize(self.streams.copies))?;
            Ok(Graph { exec: Handle(exec) })
        }
    }

    pub(in crate::device) fn replay(&self, graph: &Graph) -> Result<()> {
        self.enter()?;
        // SAFETY: its memory is the heap's, which holds it free for the step.
        driver("run a recorded step", unsafe { result::graph::launch(graph.exec.0, self.main_stream()) })
    }

    /// Errors are dropped: there is nothing left to do about them.
    pub(in crate::device) fn forget(&self, graph: &Graph) {
        if self.enter().is_ok() {
            // SAFETY: instantiated above; a running one is freed when it has ended.
            let _ = unsafe { result::graph::exec_destroy(graph.exec.0) };
        }
    }
}
