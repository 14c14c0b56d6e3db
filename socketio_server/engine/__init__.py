"""Engine.IO: sessions, their transports, handshakes and admission."""
