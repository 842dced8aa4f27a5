"""Tables that people bring: files read as they are written, rows chosen, columns as numbers and as labels."""
