"""What a load needs: processes, machines, memory, disk and time, from figures that were measured."""
