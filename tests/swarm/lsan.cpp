// What the leak checker of the asan preset is told about libraft 0.15.0: a request for a snapshot
// that ends with RAFT_CANCELED, because its member closes, is not freed (16 bytes each).
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:replicationInstallSnapshot\n"; }
