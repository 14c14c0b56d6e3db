"""Engine.IO: sessions, their transports, and who may open one."""
