"""What a root holds, for people: status, measurements, contact sheet, report and review."""
