// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Council} from "peerage/Council.sol";
import {Members} from "peerage/Members.sol";
import {Call, ICouncil, ProposalState, ProposalView} from "peerage/interfaces/ICouncil.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {Rules} from "peerage/libraries/RuleSet.sol";
import {MemberStatus, Params} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

/// @dev Called by the council, it tries to have the same proposal executed once more.
contract Reentrant {
    ICouncil private immutable _COUNCIL;
    bytes32 private _id;
    bytes private _calls;
    uint256 public entered;

    constructor(ICouncil council) {
        _COUNCIL = council;
    }

    function aim(bytes32 id, Call[] calldata calls) external {
        _id = id;
        _calls = abi.encode(calls);
    }

    function enter() external {
        ++entered;
        _COUNCIL.execute(_id, abi.decode(_calls, (Call[])));
    }
}

/// @notice Three of five, with everything handed over to them.
contract CouncilTest is Network {
    uint32 internal constant LIFETIME = 256;

    Council internal council;
    address[] internal holders;
    uint32 internal delay;

    function setUp() public {
        deploy();
        delay = directory.params().rulesDelay;
        for (uint256 i = 0; i < 5; ++i) {
            holders.push(makeAddr(string.concat("seat ", vm.toString(i))));
        }
        council = new Council(directory, holders, 3);
        vm.startPrank(operator);
        directory.transferOwnership(address(council));
        members.grantRole(members.OPERATOR_ROLE(), address(council));
        members.renounceRole(members.OPERATOR_ROLE(), operator);
        credit.grantRole(credit.MINTER_ROLE(), address(council));
        vm.stopPrank();
        pass(one(address(directory), abi.encodeCall(directory.acceptOwnership, ())));
    }

    function one(address target, bytes memory data) internal pure returns (Call[] memory calls) {
        calls = new Call[](1);
        calls[0] = Call(target, data);
    }

    function proposeBy(uint256 seat, Call[] memory calls) internal returns (bytes32 id) {
        vm.prank(holders[seat]);
        return council.propose(calls);
    }

    function approveBy(uint256 seat, bytes32 id) internal {
        vm.prank(holders[seat]);
        council.approve(id);
    }

    function approved(Call[] memory calls) internal returns (bytes32 id) {
        id = proposeBy(0, calls);
        approveBy(1, id);
        approveBy(2, id);
    }

    /// @dev Proposed, approved by three, waited for if it has to, and executed by a stranger.
    function pass(Call[] memory calls) internal {
        bytes32 id = approved(calls);
        if (council.get(id).delayed) toEpoch(council.get(id).ready);
        council.execute(id, calls);
    }

    function expectState(bytes32 id, ProposalState state) internal view {
        assertEq(uint8(council.get(id).state), uint8(state));
    }

    function suspending(uint32 member) internal view returns (Call[] memory) {
        return one(address(members), abi.encodeCall(members.suspend, (member)));
    }

    function reseating(address[] memory next, uint256 threshold) internal view returns (Call[] memory) {
        return one(address(council), abi.encodeCall(council.seat, (next, threshold)));
    }

    function test_handOver_leavesTheDeployerNothing() public {
        assertEq(directory.owner(), address(council));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, operator));
        vm.prank(operator);
        directory.set(Kinds.MEMBERS, address(members));
    }

    function test_urgentCalls_needNoDelay() public {
        Call[] memory calls = new Call[](4);
        bytes memory admission = abi.encodeCall(members.admit, (address(77), "entity", "FR", "a member"));
        calls[0] = Call(address(members), admission);
        calls[1] = Call(address(members), abi.encodeCall(members.suspend, (1)));
        calls[2] = Call(address(members), abi.encodeCall(members.reinstate, (1)));
        calls[3] = Call(address(credit), abi.encodeCall(credit.mint, (address(77), 5)));
        pass(calls);
        assertEq(members.memberOfAccount(address(77)), 1);
        assertEq(uint8(members.statusOf(1)), uint8(MemberStatus.ACTIVE));
        assertEq(credit.balanceOf(address(77)), 5);
        Params memory params;
        Call[] memory ruling =
            one(address(directory), abi.encodeCall(directory.announceRules, (params, council.delay() + 9)));
        assertFalse(council.get(proposeBy(0, ruling)).delayed, "the Directory itself announces it");
        ruling = one(address(directory), abi.encodeCall(directory.cancelRules, ()));
        assertFalse(council.get(proposeBy(0, ruling)).delayed);
        ruling = one(address(clearing), abi.encodeCall(clearing.decide, (0, 0, true)));
        assertFalse(council.get(proposeBy(0, ruling)).delayed);
    }

    function test_otherCalls_wait() public {
        assertTrue(council.get(proposeBy(0, one(address(members), "x"))).delayed, "no such method");
        assertTrue(council.get(proposeBy(0, one(address(credit), abi.encodeCall(credit.burn, (1))))).delayed);
        assertTrue(council.get(proposeBy(0, one(address(clearing), "other"))).delayed);
        Call[] memory calls = one(address(5), abi.encodeCall(members.suspend, (1)));
        assertTrue(council.get(proposeBy(0, calls)).delayed, "not the current Members");
        calls = new Call[](2);
        calls[0] = suspending(1)[0];
        calls[1] = Call(address(directory), abi.encodeCall(directory.set, (Kinds.MEMBERS, address(members))));
        assertTrue(council.get(proposeBy(0, calls)).delayed, "all wait for one");
        assertTrue(council.get(proposeBy(0, reseating(holders, 1))).delayed);
    }

    function test_replacement_isSeenComing() public {
        toEpoch(10);
        Members next = new Members(directory);
        Call[] memory calls = one(address(directory), abi.encodeCall(directory.set, (Kinds.MEMBERS, address(next))));
        bytes32 id = proposeBy(0, calls);
        expectState(id, ProposalState.OPEN);
        approveBy(1, id);
        toEpoch(20);
        vm.expectEmit(address(council));
        emit ICouncil.Approved(id, holders[2], 3, 20 + delay);
        approveBy(2, id);
        expectState(id, ProposalState.WAITING);
        toEpoch(19 + delay);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.WAITING));
        council.execute(id, calls);
        toEpoch(20 + delay);
        expectState(id, ProposalState.READY);
        vm.expectEmit(address(council));
        emit ICouncil.Executed(id);
        council.execute(id, calls);
        assertEq(directory.get(Kinds.MEMBERS), address(next));
    }

    function test_attack_rulesChangedOvernight() public {
        toEpoch(10);
        Params memory params = directory.params();
        params.samples = 5;
        Call[] memory calls = one(address(directory), abi.encodeCall(directory.announceRules, (params, 9 + delay)));
        bytes32 id = approved(calls);
        vm.expectRevert();
        council.execute(id, calls);
        calls = one(address(directory), abi.encodeCall(directory.announceRules, (params, 10 + delay)));
        pass(calls);
        (Rules now_, uint32 until) = directory.rulesAt(10);
        assertEq(now_.samples(), 2);
        assertEq(until, 10 + delay, "what every member reads from now on");
        (Rules then,) = directory.rulesAt(until);
        assertEq(then.samples(), 5);
    }

    function test_attack_fewerThanK() public {
        uint32 member = memberByCouncil();
        Call[] memory calls = suspending(member);
        bytes32 id = proposeBy(0, calls);
        approveBy(4, id);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.OPEN));
        vm.prank(holders[0]);
        council.execute(id, calls);
        approveBy(3, id);
        council.execute(id, calls);
        assertEq(uint8(members.statusOf(member)), uint8(MemberStatus.SUSPENDED));
    }

    function memberByCouncil() internal returns (uint32) {
        pass(one(address(members), abi.encodeCall(members.admit, (address(77), "entity", "FR", "a member"))));
        return members.count();
    }

    function test_attack_aSeatVotesTwice() public {
        bytes32 id = proposeBy(0, suspending(1));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.ApprovedAlready.selector, id, holders[0]));
        approveBy(0, id);
        // Nor by taking the first vote back in between.
        vm.prank(holders[0]);
        council.withdraw(id);
        approveBy(0, id);
        assertEq(council.get(id).approvals, 1);
    }

    function test_attack_strangers() public {
        bytes32 id = proposeBy(0, suspending(1));
        bytes memory refusal = abi.encodeWithSelector(ICouncil.NotASeat.selector, address(this));
        vm.expectRevert(refusal);
        council.propose(suspending(1));
        vm.expectRevert(refusal);
        council.approve(id);
        vm.expectRevert(refusal);
        council.withdraw(id);
        vm.expectRevert(refusal);
        council.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.OnlyCouncil.selector, address(this)));
        council.seat(holders, 1);
    }

    function test_attack_otherCallsThanThoseApproved() public {
        bytes32 id = approved(suspending(1));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.UnknownProposal.selector, id));
        council.execute(id, suspending(2));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.UnknownProposal.selector, bytes32("none")));
        council.execute("none", suspending(1));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.UnknownProposal.selector, bytes32("none")));
        vm.prank(holders[0]);
        council.approve("none");
    }

    function test_attack_replay() public {
        uint32 member = memberByCouncil();
        Call[] memory calls = one(address(credit), abi.encodeCall(credit.mint, (address(77), 5)));
        bytes32 id = approved(calls);
        council.execute(id, calls);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.EXECUTED));
        council.execute(id, calls);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.EXECUTED));
        approveBy(3, id);
        assertTrue(proposeBy(0, calls) != id, "the same calls again are another proposal");
        assertEq(credit.balanceOf(address(77)), 5);
        assertEq(member, 1);
    }

    function test_attack_reentering() public {
        Reentrant target = new Reentrant(council);
        Call[] memory calls = one(address(target), abi.encodeCall(target.enter, ()));
        bytes32 id = approved(calls);
        target.aim(id, calls);
        toEpoch(delay);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.EXECUTED));
        council.execute(id, calls);
        assertEq(target.entered(), 0);
    }

    function test_attack_thresholdOutOfReach() public {
        address[] memory next = holders;
        expectBadSeats(next, 6);
        expectBadSeats(next, 0);
        expectBadSeats(new address[](0), 0);
        expectBadSeats(new address[](33), 3);
        next[4] = next[0];
        expectBadSeats(next, 3);
        next[4] = address(0);
        expectBadSeats(next, 3);
        assertEq(council.threshold(), 3);
        assertEq(council.seats().length, 5);
    }

    function expectBadSeats(address[] memory next, uint256 threshold) internal {
        Call[] memory calls = reseating(next, threshold);
        bytes32 id = approved(calls);
        toEpoch(council.get(id).ready);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.BadSeats.selector, next.length, threshold));
        council.execute(id, calls);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.BadSeats.selector, next.length, threshold));
        new Council(directory, next, threshold);
    }

    function test_lostKey_isReplacedByTheOthers() public {
        // What the lost key approved counts no more, whoever has the key.
        uint32 member = memberByCouncil();
        bytes32 old = proposeBy(4, suspending(member));
        approveBy(3, old);
        address[] memory next = holders;
        next[4] = makeAddr("new key");
        pass(reseating(next, 3));
        assertEq(council.seats(), next);
        approveBy(2, old);
        assertTrue(council.approvedBy(old, holders[4]));
        ProposalView memory shown = council.get(old);
        assertEq(shown.proposer, holders[4]);
        assertEq(shown.approvals, 2);
        assertEq(uint8(shown.state), uint8(ProposalState.OPEN));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.NotASeat.selector, holders[4]));
        approveBy(4, old);
        vm.prank(next[4]);
        council.approve(old);
        council.execute(old, suspending(member));
    }

    function test_seatRemovedWhileWaiting_takesItsApprovalAlong() public {
        uint32 member = memberByCouncil();
        bytes32 waiting = approved(suspending(member));
        expectState(waiting, ProposalState.READY);
        address[] memory next = new address[](3);
        (next[0], next[1], next[2]) = (holders[1], holders[2], holders[3]);
        pass(reseating(next, 3));
        expectState(waiting, ProposalState.OPEN);
        approveBy(3, waiting);
        council.execute(waiting, suspending(member));
    }

    function test_withdrawing_startsTheDelayAnew() public {
        Call[] memory calls = one(address(directory), abi.encodeCall(directory.transferOwnership, (address(9))));
        bytes32 id = approved(calls);
        approveBy(3, id);
        vm.startPrank(holders[3]);
        council.withdraw(id);
        expectState(id, ProposalState.WAITING);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.NotApproved.selector, id, holders[3]));
        council.withdraw(id);
        vm.stopPrank();
        toEpoch(delay);
        vm.expectEmit(address(council));
        emit ICouncil.ApprovalWithdrawn(id, holders[1], 2, type(uint32).max);
        vm.prank(holders[1]);
        council.withdraw(id);
        expectState(id, ProposalState.OPEN);
        approveBy(4, id);
        assertEq(council.get(id).ready, 2 * delay);
        toEpoch(2 * delay);
        council.execute(id, calls);
        assertEq(directory.pendingOwner(), address(9));
    }

    function test_cancel_isTheProposers() public {
        bytes32 id = approved(suspending(1));
        vm.expectRevert(abi.encodeWithSelector(ICouncil.NotTheProposer.selector, id, holders[0]));
        vm.prank(holders[1]);
        council.cancel(id);
        vm.expectEmit(address(council));
        emit ICouncil.Cancelled(id);
        vm.prank(holders[0]);
        council.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.CANCELLED));
        council.execute(id, suspending(1));
    }

    function test_attack_aProposalThatIsForgotten() public {
        Call[] memory calls = suspending(1);
        bytes32 id = approved(calls);
        uint32 expires = delay + LIFETIME;
        assertEq(council.get(id).expires, expires);
        toEpoch(expires);
        expectState(id, ProposalState.EXPIRED);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.EXPIRED));
        council.execute(id, calls);
        vm.expectRevert(abi.encodeWithSelector(ICouncil.WrongState.selector, id, ProposalState.EXPIRED));
        approveBy(3, id);
    }

    function test_batch_isAllOrNothing() public {
        Call[] memory calls = new Call[](2);
        calls[0] = Call(address(credit), abi.encodeCall(credit.mint, (address(77), 5)));
        calls[1] = suspending(9)[0];
        bytes32 id = approved(calls);
        vm.expectRevert();
        council.execute(id, calls);
        assertEq(credit.balanceOf(address(77)), 0);
        expectState(id, ProposalState.READY);
        vm.expectRevert(ICouncil.NoCalls.selector);
        proposeBy(0, new Call[](0));
        assertEq(council.count(), 2);
        expectState("none", ProposalState.NONE);
    }

    /// @dev Whatever seats vote and withdraw, a proposal is ready exactly while k of those seated approve.
    function testFuzz_readyNeedsKOfTheSeated(uint256 votes, uint256 withdrawals) public {
        bytes32 id = proposeBy(0, suspending(1));
        uint256 yes = 1;
        for (uint256 i = 1; i < 5; ++i) {
            if ((votes >> i) & 1 == 0) continue;
            approveBy(i, id);
            ++yes;
            if ((withdrawals >> i) & 1 == 0) continue;
            vm.prank(holders[i]);
            council.withdraw(id);
            --yes;
        }
        assertEq(council.get(id).approvals, yes);
        expectState(id, yes < 3 ? ProposalState.OPEN : ProposalState.READY);
    }
}
