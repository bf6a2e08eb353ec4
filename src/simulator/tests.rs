//! Both simulators over HTTP.
