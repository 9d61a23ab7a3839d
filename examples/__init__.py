"""What users may run and copy from: the demo, a slow stream. No part of the packages."""
