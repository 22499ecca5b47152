"""What a board needs: disk, memory, threads, time to start, bytes on the wire."""
