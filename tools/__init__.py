"""What developers run: measurements, pages, the manual page. No part of the packages."""
