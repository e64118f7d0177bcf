"""The wire protocol, BaseEnv and the server that hosts one."""
