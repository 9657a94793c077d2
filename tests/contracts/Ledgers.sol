// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Docket, DocketState} from "peerage/interfaces/IDockets.sol";
import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {Network} from "./Network.sol";

/// @notice A network with one agreement between the first two of three members, and steps from epoch to epoch.
abstract contract Ledgers is Network {
    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint64 internal constant LEAVES = 1024;
    /// @dev 1 MiB at 16 credits a GiB and epoch; the full capacity, 64 MiB, costs one credit an epoch.
    uint256 internal constant PAY = 15_625;
    uint256 internal constant FULL = 1_000_000;
    uint256 internal constant ESCROW = 8 * FULL;
    uint256 internal constant COLLATERAL = 10 * CREDITS;

    bytes32 internal id;

    function setUp() public virtual {
        deploy();
        join(3);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, LEAVES);
        toEpoch(3);
        beatAll();
    }

    /// @dev One epoch on, in which everyone beats and the provider proves or does not.
    function pass(bool proving) internal {
        nextEpoch();
        beatAll();
        if (proving) setProven(id, beacon.currentEpoch());
    }

    function pass(uint256 epochs, bool proving) internal {
        for (uint256 i = 0; i < epochs; ++i) {
            pass(proving);
        }
    }

    function settle() internal {
        toSecondHalf();
        clearing.settle(id);
    }

    /// @dev Moves into the second half of the next epoch, with beats, so that the current epoch is closed; settles.
    function closeAndSettle() internal {
        nextEpoch();
        beatAll();
        settle();
    }

    function ledger() internal view returns (LedgerView memory) {
        return clearing.ledgerOf(id);
    }

    /// @dev What lies in dockets.
    function contested() internal view returns (uint256 sum) {
        Docket[] memory dockets = clearing.docketsOf(id);
        for (uint256 i = 0; i < dockets.length; ++i) {
            bool open_ = dockets[i].state == DocketState.OPEN || dockets[i].state == DocketState.APPEALED;
            if (open_) sum += uint256(dockets[i].toClient) + dockets[i].burned;
        }
    }

    function assertConserved() internal view {
        uint256 sum = clearing.escrowOf(id) + clearing.collateralOf(id) + contested() + clearing.reserved();
        for (uint32 member = 1; member <= members.count(); ++member) {
            sum += clearing.balanceOf(member);
        }
        assertEq(sum, clearing.total(), "total");
        assertEq(sum, credit.balanceOf(address(clearing)), "token balance");
    }

    /// @dev Every member beats in the epochs named, and the record says that the provider proved.
    function markProven(uint256 from, uint256 to) internal {
        for (uint256 epoch = from; epoch <= to; ++epoch) {
            toEpoch(epoch);
            beatAll();
            setProven(id, epoch);
        }
    }

    /// @dev Leaves a member's account with so much.
    function leave(uint32 member, uint256 amount) internal {
        uint256 taken = clearing.balanceOf(member) - amount;
        vm.prank(account(member));
        clearing.withdraw(taken, account(member));
    }

    /// @dev Leaves the client with the escrow and nothing else, and the data filling the capacity.
    function drain() internal {
        revise(id, 65_536);
        leave(CLIENT, 0);
    }
}
